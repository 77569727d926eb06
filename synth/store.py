"""The store: a folder of Parquet segments, with DuckDB views over them.

    STORE/burnish.json                 format of the store
    STORE/log/NAME.wal                 write-ahead file of each live writer (see `synth.wal`)
    STORE/TABLE/NAME.parquet           segments
    STORE/commits/NAME.json            one per commit: the segments it adds and the commits it replaces

A segment counts once a commit names it. A commit is one file renamed into place, so all tables of a write-ahead
file appear at once, and compaction swaps many commits for one without a gap or a double. Sealing commits under the
name of its write-ahead file, so a reader that has read the file knows to leave it out when the commit is there too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from schemas import TABLES, Call, Pair, Row
from synth.errors import UsageError
from synth.wal import Frame, WriteAheadFile, is_orphan, read_frames

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

FORMAT = 1
SEAL_BYTES = 16 * 2**20
COMPACT_COMMITS = 24
SMALL_COMMIT_ROWS = 200_000
KEEP_REPLACED_S = 600
# Small tables whose rows two runs may both write; their views show one row per id, the newest of a run.
_COLLAPSED = {"prompts": "id", "principles": "id", "constitutions": "id", "rejects": "id", "runs": "updated_at DESC"}


class Store:
    """One store on disk. Any number of processes may read and write it at the same time."""

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        """Open a store; `create` makes an empty one where there is none. Raises `UsageError`."""
        self.path = Path(path)
        marker = self.path / "burnish.json"
        if not marker.exists():
            if not create:
                raise UsageError(f"no store at {str(path)!r}; `burnish run … --store {path}` makes one")
            self._create(marker)
        try:
            found = json.loads(marker.read_text())["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"cannot read {marker}: {error}; it should name the store's format") from error
        if found > FORMAT:
            raise UsageError(
                f"store {str(path)!r} has format {found}, this Burnish reads up to {FORMAT}; upgrade Burnish"
            )

    def _create(self, marker: Path) -> None:
        try:
            if self.path.is_dir() and any(self.path.iterdir()):
                raise UsageError(f"{str(self.path)!r} is not empty and not a store; name a new folder")
            (self.path / "log").mkdir(parents=True, exist_ok=True)
            (self.path / "commits").mkdir(exist_ok=True)
            _write_atomically(marker, json.dumps({"format": FORMAT}).encode())
        except OSError as error:
            raise UsageError(f"cannot write the store {str(self.path)!r}: {error.strerror}") from error

    def writer(self) -> Writer:
        """A writer of its own for the caller. Raises `UsageError` where the store cannot be written."""
        return Writer(self)

    def lock(self, name: str) -> IO[bytes]:
        """Hold the lock of this name until the returned file is closed; waits while another process holds it."""
        try:
            file = (self.path / "log" / f"{name}.lock").open("ab")
        except OSError as error:
            raise UsageError(f"cannot write the store {str(self.path)!r}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger("burnish").warning("another process runs the same work on this store; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    # Reading

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB connection with a view per table and the views of `views.sql`, as of now."""
        connection = self._connect(TABLES)
        connection.execute(_sql("views"))
        return connection

    def _connect(self, tables: Iterable[str]) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
        connection.execute(f"SET TimeZone = 'UTC'; SET temp_directory = {quoted(self.path / '.spill')}")
        live = self._read_live()  # before the commits: what is sealed in between is then left out below
        commits, committed = self._read_commits()
        segments = self._segments(commits)
        for table in tables:
            rows = [row for name, found in live.items() if name not in committed for row in found.get(table, [])]
            connection.register(f"live_{table}", _to_arrow(TABLES[table], rows))
            connection.execute(_table_view(table, segments[table]))
        return connection

    def sql(self, query: str, parameters: object = None) -> pl.DataFrame:
        """The answer of a query over the store's tables and views."""
        frame: pl.DataFrame = self.connect().sql(query, params=parameters).pl()
        return frame

    def known(self, table: str, ids: Sequence[str]) -> set[str]:
        """Which of these ids the table has."""
        rows = self._matching(table, f"SELECT id FROM {table} SEMI JOIN wanted USING (id)", ids)
        return {id for (id,) in rows}

    def calls_of(self, item_ids: Sequence[str]) -> dict[str, Call]:
        """The part of the call log that was made for these items, by key."""
        columns = ", ".join(f"calls.{name}" for name in Call.model_fields)
        rows = self._matching(
            "calls", f"SELECT {columns} FROM calls SEMI JOIN wanted ON calls.item_id = wanted.id", item_ids
        )
        names = list(Call.model_fields)
        return {row[0]: Call.model_construct(**dict(zip(names, row, strict=True))) for row in rows}

    def finished(self, work_id: str, item_ids: Sequence[str]) -> dict[str, str]:
        """Which of these items the work has finished, with the status each ended in."""
        query = "SELECT item_id, status FROM items SEMI JOIN wanted ON items.item_id = wanted.id WHERE work_id = ?"
        return dict(self._matching("items", query, item_ids, [work_id]))

    def pairs(self) -> Iterator[Pair]:
        """Every preference in the store as an item for recipes, in the order of prompts."""
        with self.connect() as connection:
            for batch in connection.sql(_sql("pairs")).to_arrow_reader(1000):
                yield from (Pair.model_validate(row) for row in batch.to_pylist())

    def _matching(self, table: str, query: str, ids: Sequence[str], parameters: Sequence[str] = ()) -> list[Any]:
        import pyarrow as pa

        with self._connect([table]) as connection:
            connection.register("wanted", pa.table({"id": pa.array(ids, pa.string())}))
            return connection.execute(query, list(parameters)).fetchall()

    def _read_live(self) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Rows by table of each write-ahead file, by the file's name. One that vanishes meanwhile was committed."""
        live = {}
        for path in self.write_ahead_files():
            try:
                live[path.stem] = _by_table(read_frames(path))
            except FileNotFoundError:
                continue
        return live

    def _read_commits(self) -> tuple[dict[str, Commit], set[str]]:
        """The commits that count, by name, and the names of all commits there are or were."""
        commits = {}
        for path in sorted((self.path / "commits").glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # replaced long ago, and removed since the listing
                commits[path.stem] = msgspec.json.decode(path.read_bytes(), type=Commit)
        replaced = {name for commit in commits.values() for name in commit.replaces}
        counting = {name: commit for name, commit in commits.items() if name not in replaced}
        return counting, replaced | commits.keys()

    def _segments(self, commits: dict[str, Commit]) -> dict[str, list[str]]:
        """Paths of segments by table."""
        paths: dict[str, list[str]] = {table: [] for table in TABLES}
        for name, commit in commits.items():
            for table in commit.adds:
                paths[table].append(str(self.path / table / f"{name}.parquet"))
        return paths

    def write_ahead_files(self) -> list[Path]:
        """What writers, live or gone, have not sealed yet."""
        return sorted((self.path / "log").glob("*.wal"))

    # Sealing and compaction

    def seal(self, wal: Path) -> None:
        """Turn a closed write-ahead file into segments of one commit, and remove it. Repeating it is harmless."""
        if not (self.path / "commits" / f"{wal.stem}.json").exists():
            rows_by_table = _by_table(read_frames(wal))
            self._commit(wal.stem, {name: _to_arrow(TABLES[name], rows) for name, rows in rows_by_table.items()})
        wal.unlink(missing_ok=True)

    def recover(self) -> int:
        """Seal what writers that are gone have left. Returns how many files that were."""
        orphans = [path for path in self.write_ahead_files() if is_orphan(path)]
        for path in orphans:
            self.seal(path)
        return len(orphans)

    def compact(self, at_least: int = COMPACT_COMMITS) -> bool:
        """Merge the small commits into one if there are `at_least` that many. Returns whether it did.

        What a commit replaced is removed `KEEP_REPLACED_S` seconds later, so that readers who began before may finish.
        """
        import duckdb

        with _exclusive(self.path / "compact.lock") as alone:
            if not alone:
                return False
            self._remove_replaced()
            commits, _ = self._read_commits()
            small = {n: commit for n, commit in commits.items() if sum(commit.adds.values()) < SMALL_COMMIT_ROWS}
            if len(small) < at_least:
                return False
            with duckdb.connect(":memory:") as connection:
                tables = {}
                for table, paths in self._segments(small).items():
                    if paths:
                        merged = connection.sql(f"{_one_per_id(table, 'read_parquet(?)')} ORDER BY id", params=[paths])
                        tables[table] = merged.to_arrow_table().cast(TABLES[table].arrow_schema())
            self._commit(_new_name(), tables, replaces=sorted(small))
            return True

    def _remove_replaced(self) -> None:
        for path in (self.path / "commits").glob("*.json"):
            if not path.exists() or time.time() - path.stat().st_mtime < KEEP_REPLACED_S:
                continue
            for name in msgspec.json.decode(path.read_bytes(), type=Commit).replaces:
                for table in TABLES:
                    (self.path / table / f"{name}.parquet").unlink(missing_ok=True)
                (self.path / "commits" / f"{name}.json").unlink(missing_ok=True)

    def _commit(self, name: str, tables: dict[str, pa.Table], replaces: Sequence[str] = ()) -> None:
        import pyarrow.parquet as pq

        for table, rows in tables.items():
            folder = self.path / table
            folder.mkdir(exist_ok=True)
            part = folder / f".{name}.{uuid.uuid4().hex}.part"
            pq.write_table(rows, part, compression="zstd")
            _rename_durably(part, folder / f"{name}.parquet")
        commit = Commit({table: rows.num_rows for table, rows in tables.items()}, list(replaces))
        _write_atomically(self.path / "commits" / f"{name}.json", msgspec.json.encode(commit))


class Commit(msgspec.Struct, frozen=True):
    """What one commit file says: rows added per table, and the names of the commits it stands in for."""

    adds: dict[str, int]
    replaces: list[str]


class Writer:
    """Appends rows to a store. What is written can be read by everyone within `synth.wal.COMMIT_EVERY_S`.

    Opening one first seals what writers that are gone have left behind.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        try:
            store.recover()
            self._wal = self._open()
        except OSError as error:
            raise UsageError(f"cannot write the store {str(store.path)!r}: {error.strerror}") from error
        self._sealing = ThreadPoolExecutor(1, thread_name_prefix="burnish-seal")
        self._sealed: list[Future[None]] = []

    def _open(self) -> WriteAheadFile:
        return WriteAheadFile(self.store.path / "log" / f"{_new_name()}.wal")

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows that belong together: after a crash, all of them are there or none."""
        if not rows:
            return
        self._wal.append(rows)
        if self._wal.size > SEAL_BYTES:
            full, self._wal = self._wal, self._open()
            self._sealed.append(self._sealing.submit(self._seal, full))

    def flush(self) -> None:
        """Return once everything written so far can be read by others."""
        self._wal.flush()

    def _seal(self, wal: WriteAheadFile) -> None:
        wal.close()
        self.store.seal(wal.path)
        self.store.compact()

    def close(self) -> None:
        """Commit and seal everything. Raises `OSError` where something could not be written."""
        self._sealed.append(self._sealing.submit(self._seal, self._wal))
        self._sealing.shutdown()
        for future in self._sealed:
            future.result()


@cache
def _sql(name: str) -> str:
    return resources.files("synth").joinpath(f"{name}.sql").read_text()


def _by_table(frames: Iterable[Frame]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for frame in frames:
        for table, row in frame:
            tables[table].append(row)
    return tables


def _to_arrow(row: type[Row], rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=row.arrow_schema())


def _table_view(table: str, paths: list[str]) -> str:
    source = f"SELECT * FROM live_{table}"
    if paths:
        files = ", ".join(map(quoted, paths))
        source += f" UNION ALL BY NAME SELECT * FROM read_parquet([{files}], union_by_name = true)"
    if table in _COLLAPSED:
        source = _one_per_id(table, f"({source})")
    return f"CREATE VIEW {table} AS {source}"


def quoted(path: object) -> str:
    """A path as an SQL literal."""
    return "'" + str(path).replace("'", "''") + "'"


def _one_per_id(table: str, source: str) -> str:
    order = _COLLAPSED.get(table, "id")
    return f"SELECT * FROM {source} QUALIFY row_number() OVER (PARTITION BY id ORDER BY {order}) = 1"


def _new_name() -> str:
    """Sorts by time; unique among writers and machines."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"


def _write_atomically(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    part.write_bytes(data)
    _rename_durably(part, path)


def _rename_durably(part: Path, path: Path) -> None:
    """Rename a finished file into place; it survives a power cut."""
    _sync(part)
    part.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[bool]:
    """Yields whether this process alone holds the lock file; never waits."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
