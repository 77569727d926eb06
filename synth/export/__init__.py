"""Exports: training sets as Parquet with a dataset card, in the layout that the Hub and `datasets` read.

    TO/README.md                             the card; its header tells the Hub and `load_dataset` what lies where
    TO/FORMAT/train-00000-of-00001.parquet   the rows of one format; several files where there are many

DuckDB writes the rows straight from the store. The folder is written beside its place and swapped in, so that a failed
export leaves the one before it. Equal stores give equal bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synth.errors import UsageError, nearest, shown
from synth.export import card
from synth.export.formats import FORMATS, Exported, query, row_model
from synth.store import Store, quoted

if TYPE_CHECKING:
    import duckdb

__all__ = ["FORMATS", "Exported", "export"]

FILE_BYTES = 500 * 10**6
# Small enough for the Hub's viewer to read one at a time, and for a file to end near FILE_BYTES.
ROW_GROUP_ROWS = 20_480
_OURS = re.compile(r"README\.md|[a-z_]+/train-\d{5}-of-\d{5}\.parquet")


def export(store: Store, formats: Sequence[str], to: str | Path, where: str | None = None) -> list[Exported]:
    """Write these formats of a store to the folder `to`. An export that is there already is replaced.

    `where` is an SQL condition over the columns of every format asked for; it may ask the store's tables, too.
    Raises `UsageError`, before anything is written where it can.
    """
    import duckdb

    formats = _known(formats)
    target = Path(os.path.realpath(to))
    _check_free(target)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with store.connect() as connection:
            queries = {format: _query(connection, format, where) for format in formats}
            part.mkdir(parents=True)
            connection.execute(f"SET temp_directory = {quoted(part / '.spill')}")
            exported = [_write(connection, format, queries[format], part, where) for format in formats]
            text = card.render(connection, exported, where)
        (part / card.FILE).write_text(text, encoding="utf-8")
        shutil.rmtree(part / ".spill", ignore_errors=True)
        _swap(part, target)
    except (OSError, duckdb.IOException) as error:
        raise UsageError(f"cannot write the export {str(to)!r}: {_first_line(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [one._replace(path=Path(to) / one.format) for one in exported]


def _known(formats: Sequence[str]) -> list[str]:
    if not formats:
        raise UsageError(f"no format to export; expected some of: {', '.join(FORMATS)}")
    for format in formats:
        if format not in FORMATS:
            raise UsageError(f"format {format!r} not found; {nearest(format, FORMATS)}")
    return list(dict.fromkeys(formats))


def _check_free(target: Path) -> None:
    """Only what an earlier export has written may be replaced."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{str(target)!r} is a file; name a folder for the export")
    if stranger := _stranger(target):
        raise UsageError(f"{str(target)!r} holds {stranger!r}, which no export has written; name a new or empty folder")
    if target in (Path.cwd(), *Path.cwd().parents):
        raise UsageError(f"cannot replace {str(target)!r} while working in it; name another folder for the export")


def _stranger(folder: Path) -> str | None:
    """A file in the folder that no export of ours has put there."""
    readme = folder / card.FILE
    ours = readme.is_file() and card.MARK in readme.read_text(encoding="utf-8", errors="replace")
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and not (ours and _OURS.fullmatch(name)):
            return name
    return None


def _query(connection: duckdb.DuckDBPyConnection, format: str, where: str | None) -> str:
    """The format's query, narrowed to the condition. Raises `UsageError` where the condition does not fit it."""
    import duckdb

    if where is None:
        return query(format)
    narrowed = f"SELECT * FROM (\n{query(format)}) WHERE (\n{where}\n)"
    try:
        if len(connection.extract_statements(narrowed)) != 1:
            raise _bad_condition(where, format, "one condition expected, not several statements")
        connection.execute(f"EXPLAIN {narrowed}").fetchall()
    except duckdb.Error as error:
        raise _bad_condition(where, format, _first_line(error)) from error
    return narrowed


def _bad_condition(where: str, format: str, reason: str) -> UsageError:
    columns = ", ".join(row_model(format).model_fields)
    return UsageError(f"condition {shown(where)}: {reason}; columns of {format}: {columns}")


def _write(
    connection: duckdb.DuckDBPyConnection, format: str, selection: str, root: Path, where: str | None
) -> Exported:
    import duckdb

    folder = root / format
    folder.mkdir()
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, FILE_SIZE_BYTES {FILE_BYTES}"
    copy = f"COPY (\n{selection}\n) TO {quoted(folder)} ({options}, FILENAME_PATTERN '{{i}}')"
    try:
        [[rows]] = connection.execute(copy).fetchall()
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        if where is None:
            raise
        raise _bad_condition(where, format, _first_line(error)) from error
    if rows:
        _number(folder)
    else:
        shutil.rmtree(folder)
    return Exported(format, folder, rows)


def _number(folder: Path) -> None:
    """Name the files as the Hub does, each with its number and how many there are."""
    files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    for index, path in enumerate(files):
        path.rename(folder / f"train-{index:05d}-of-{len(files):05d}.parquet")


def _swap(new: Path, target: Path) -> None:
    """Put a finished folder in the place of another, or of none."""
    old = new.with_suffix(".old")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
