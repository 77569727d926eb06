"""Reads prompts from what people have: a file, a folder or a dataset of the Hugging Face Hub, row by row.

A file is .jsonl, .ndjson, .csv, .tsv or .txt (one prompt per line), each also as .gz, read by line; .parquet, read by
batch; or .json (also .gz), read whole: a list of rows, or an object that holds one list. A folder is all such files in
it and below, by name, but for hidden ones. `hf:NAME[:SPLIT]` is a dataset on the Hub (`hf:OWNER/NAME/CONFIG` where it
has several) or a local folder of one; SPLIT is train unless given. The first row of a .csv names its columns.

What a row holds is recognised by its columns (`synth.shapes`). A row that is no complete prompt becomes a reject and
its siblings go on. `line` is the line in the file, for a .csv the row's first; in .json, .parquet and datasets it
is the row, counted from 1.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import difflib
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from schemas import Prompt, Reject
from synth.errors import ItemRejected, UsageError, nearest, shown
from synth.shapes import FIELDS, UNSTORABLE, to_prompt

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_ROWS = 100
_BATCH_ROWS = 256
_RAW_CHARACTERS = 2_000
_CELL_CHARACTERS = 2**26  # how far a quote that is never closed can reach
_NAME = re.compile(r"hf:(?P<name>[^:]+)(?::(?P<split>[^:/]+))?")
# What the readers' libraries raise about a source that breaks off, is of another type, or is out of reach.
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, NotImplementedError, RecursionError, zlib.error, csv.Error)


class _Row(NamedTuple):
    """A row not yet understood: its value, or why it has none, and its bytes where it stood alone."""

    line: int
    value: object
    raw: bytes | None = None


class _Part(NamedTuple):
    """One file or dataset of the source, named as the rows that come from it name it."""

    name: str
    rows: Callable[[], Iterator[_Row]]


def check_source(source: str, fields: Mapping[str, str]) -> None:
    """Raise `UsageError` if the source cannot be read or its first rows lack a column that `fields` names."""
    for field, column in fields.items():
        if field not in FIELDS:
            raise UsageError(f"a prompt has no field {field!r}; {nearest(field, FIELDS)}")
        if not column and field in ("prompt", "messages"):
            raise UsageError(f"field {field!r} expects a column's name, came ''; name one or leave the field out")
    for part in _parts(source):
        _check_columns(part, fields)


def read_prompts(
    source: str, fields: Mapping[str, str], run_id: str, limit: int | None = None
) -> Iterator[Prompt | Reject]:
    """The source's rows in order, each a prompt or a reject, up to `limit` prompts.

    `fields` names the column for a field of ours, then the only one tried; '' does without the field. Raises
    `UsageError` where `check_source` does, and where a source breaks off, so that no part of it is missed unseen.
    """
    prompts = 0
    for part in _parts(source):
        for row in _guarded(part):
            entry = _entry(row, fields, part.name, run_id)
            yield entry
            prompts += isinstance(entry, Prompt)
            if prompts == limit:
                return


def _parts(source: str) -> list[_Part]:
    if source.startswith("hf:"):
        return [_Part(source, partial(_dataset_rows, source))]
    path = Path(source)
    if os.path.isdir(source):
        below = sorted(file.relative_to(path) for file in path.rglob("*") if _type(file) in _READERS and file.is_file())
        files = [file for file in below if not any(name.startswith(".") for name in file.parts)]
        if not files:
            raise UsageError(f"folder {source!r} holds no prompts; {_expected()}")
        return [_Part(os.path.join(source, file), partial(_file_rows, path / file)) for file in files]
    if not os.path.exists(source):
        raise UsageError(f"prompts {source!r} not found; {_similar(path)}")
    if _type(path) not in _READERS:
        raise UsageError(f"prompts {source!r} are of no known type; {_expected()}")
    return [_Part(source, partial(_file_rows, path))]


def _check_columns(part: _Part, fields: Mapping[str, str]) -> None:
    first = [row.value for row in islice(_guarded(part), _FIRST_ROWS if fields else 1)]
    columns = {column for row in first if isinstance(row, dict) for column in row}
    if not any(isinstance(row, dict | str) for row in first):
        return
    for field, column in fields.items():
        if column and column not in columns:
            raise UsageError(f"{part.name!r} has no column {column!r} for {field!r}; {nearest(column, columns)}")


def _guarded(part: _Part) -> Iterator[_Row]:
    """The part's rows. What is wrong with the part as a whole is the operator's to mend."""
    try:
        yield from part.rows()
    except _UNREADABLE as error:
        is_dataset = part.name.startswith("hf:")
        todo = "check its name, its split and the connection" if is_dataset else "mend the file or leave it out"
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"prompts {part.name!r} cannot be read: {said}; {todo}") from error


def _similar(path: Path) -> str:
    close = difflib.get_close_matches(path.name, [near.name for near in path.parent.glob("*")], n=1)
    return f"did you mean {str(path.parent / close[0])!r}?" if close else "a dataset on the Hub is written hf:NAME"


def _expected() -> str:
    return f"expected one of: {', '.join(_READERS)}, or .gz of one"


def _type(path: Path) -> str:
    return os.path.splitext(path.name.lower().removesuffix(".gz"))[1]


def _file_rows(path: Path) -> Iterator[_Row]:
    with cast("IO[bytes]", gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            file.seek(0)
        yield from _READERS[_type(path)](file)


def _line_rows(file: Iterable[bytes], parse: Callable[[str], object]) -> Iterator[_Row]:
    for number, line in enumerate(file, 1):
        if raw := line.strip() and line.rstrip(b"\r\n"):
            yield _Row(number, _or_reject(_decoded, raw, parse), raw)


def _decoded(raw: bytes, parse: Callable[[str], object]) -> object:
    return parse(raw.decode())


def _or_reject(make: Callable[..., object], *args: object) -> object:
    try:
        return make(*args)
    except ItemRejected as error:
        return error
    except UnicodeDecodeError as error:
        wrong = error.object[error.start : error.end]
        return ItemRejected("invalid_utf8", f"expected UTF-8, came {shown(wrong)}", _cut(error.object))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ItemRejected("malformed", f"not JSON: {str(error).replace('line 1 ', '')}") from error


def _json_rows(file: IO[bytes]) -> Iterator[_Row]:
    data = file.read()
    try:
        rows = _only_list(json.loads(data))
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        return _line_rows(io.BytesIO(data), _parsed)  # JSON lines under another name
    return (_Row(number, row) for number, row in enumerate(rows, 1))


def _only_list(document: object) -> list[object]:
    if isinstance(document, list):
        return document
    lists = [held for held in document.values() if isinstance(held, list)] if isinstance(document, dict) else []
    if len(lists) != 1:
        raise ValueError(f"expected a list of rows, or an object that holds one list, came {shown(document)}")
    return lists[0]


def _csv_rows(file: Iterable[bytes], delimiter: str = ",") -> Iterator[_Row]:
    csv.field_size_limit(_CELL_CHARACTERS)  # of the process: the module has no other
    taken: list[bytes] = []
    reader = csv.reader(_noted(file, taken), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not header:
                raise
            yield _Row(line, ItemRejected("malformed", f"expected a row of cells, came {error}"), b"".join(taken))
            continue
        raw = b"".join(taken)
        if not header:
            header = _header(cells, raw)
        elif cells:
            yield _Row(line, _or_reject(_record, header, cells, raw), raw)


def _noted(file: Iterable[bytes], taken: list[bytes]) -> Iterator[str]:
    for line in file:
        taken.append(line)
        yield line.decode("utf-8", "surrogateescape")


def _header(cells: list[str], raw: bytes) -> list[str]:
    raw.decode()
    if twice := next((cell for cell in cells if cell and cells.count(cell) > 1), None):
        raise ValueError(f"two columns are named {twice!r}")
    return cells


def _record(header: list[str], cells: list[str], raw: bytes) -> dict[str, str]:
    raw.decode()
    if len(cells) != len(header):
        raise ItemRejected("malformed", f"expected {len(header)} cells, came {len(cells)}")
    return dict(zip(header, cells, strict=True))


def _parquet_rows(file: IO[bytes]) -> Iterator[_Row]:
    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(file).iter_batches(batch_size=_BATCH_ROWS):
        try:
            values = batch.to_pylist()
        except UnicodeDecodeError:
            values = [_or_reject(_one_row, batch.slice(index, 1)) for index in range(batch.num_rows)]
        for value in values:
            number += 1
            yield _Row(number, value)


def _one_row(batch: pa.RecordBatch) -> object:
    return batch.to_pylist()[0]


def _dataset_rows(source: str) -> Iterator[_Row]:
    found = _NAME.fullmatch(source)
    if not found:
        raise UsageError(f"expected hf:NAME or hf:NAME:SPLIT, came {source!r}; write hf:OWNER/NAME:train")
    for number, row in enumerate(_dataset(found["name"], found["split"]), 1):
        yield _Row(number, row)


def _dataset(name: str, split: str | None) -> Iterable[dict[str, Any]]:
    """The rows of a dataset, streamed; one kept with `save_to_disk` is mapped to memory instead."""
    is_local = os.path.isdir(name)
    if name.startswith((".", "/")) and not is_local:
        raise UsageError(f"dataset folder {name!r} not found; {_similar(Path(name))}")
    import datasets

    if split is None and os.path.isfile(os.path.join(name, "state.json")):
        return cast("Iterable[dict[str, Any]]", datasets.load_from_disk(name))
    config = None
    if not is_local and name.count("/") == 2:
        name, _, config = name.rpartition("/")
    stream = datasets.load_dataset(name, config, split=split or "train", streaming=True)
    return cast("Iterable[dict[str, Any]]", stream)


_READERS: dict[str, Callable[[IO[bytes]], Iterator[_Row]]] = {
    ".jsonl": partial(_line_rows, parse=_parsed),
    ".ndjson": partial(_line_rows, parse=_parsed),
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".tsv": partial(_csv_rows, delimiter="\t"),
    ".parquet": _parquet_rows,
    ".txt": partial(_line_rows, parse=str),
}


def _entry(row: _Row, fields: Mapping[str, str], source: str, run_id: str) -> Prompt | Reject:
    source = _storable(source)
    try:
        if isinstance(row.value, ItemRejected):
            raise row.value
        return to_prompt(row.value, fields, source, row.line)
    except ItemRejected as error:
        why = error
    except RecursionError:
        why = ItemRejected("malformed", "expected a row, came one nested too deep to be read")
    raw = _storable(why.raw or _raw(row))
    return Reject(reason=why.reason, detail=why.detail, raw=raw, source=source, line=row.line, run_id=run_id)


def _raw(row: _Row) -> str:
    if row.raw is not None:
        return _cut(row.raw)
    with contextlib.suppress(RecursionError):
        return json.dumps(row.value, ensure_ascii=False, default=str)
    return ""


def _cut(raw: bytes) -> str:
    return raw[: 4 * _RAW_CHARACTERS].decode("utf-8", "backslashreplace")


def _storable(text: str) -> str:
    escaped = UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text[:_RAW_CHARACTERS])
    return escaped[:_RAW_CHARACTERS]
