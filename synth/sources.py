"""Reads prompts from what people have: a file, a folder or a dataset of the Hugging Face Hub, row by row.

A file is .jsonl, .ndjson, .csv, .tsv or .txt (one prompt per line), each also as .gz, read by line; .parquet, read by
batch; or .json (also .gz), read whole: a list of rows, or an object that holds one list. A folder is all such files in
it and below, by name, but for hidden ones. `hf:NAME[:SPLIT]` is a dataset on the Hub (`hf:OWNER/NAME/CONFIG` where it
has several) or a local folder of one; SPLIT is train unless given. The first row of a .csv names its columns.

What a row holds is recognised by its columns (`_ASKING`, `_KNOWN`). A row that is no complete prompt becomes a reject
and its siblings go on. `line` is the line in the file, for a .csv the row's first; in .json, .parquet and datasets it
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
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, cast

from schemas import Message, Prompt, Reject
from synth.errors import ItemRejected, UsageError, nearest, shown
from synth.text import control_token

if TYPE_CHECKING:
    import pyarrow as pa

# Columns that can ask, in the order they are tried. `instruction` brings its `input` or `context`.
_ASKING = ("prompt", "messages", "conversations", "instruction", "question")
# `chosen` is no reference: it was preferred to one other answer, no more. `fields` can make it one.
_KNOWN = {
    "prompt": ("prompt",),
    "messages": ("messages", "conversations"),
    "reference": ("reference", "answer", "response", "output", "completion"),
    "tests": ("tests", "test_list"),
    "system": ("system",),
}
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
}  # fmt: skip
_FIRST_ROWS = 100
_BATCH_ROWS = 256
_RAW_CHARACTERS = 2_000
_CELL_CHARACTERS = 2**26  # how far a quote that is never closed can reach
_NAME = re.compile(r"hf:(?P<name>[^:]+)(?::(?P<split>[^:/]+))?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
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
        if field not in _KNOWN:
            raise UsageError(f"a prompt has no field {field!r}; {nearest(field, _KNOWN)}")
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
        return _prompt(row.value, fields, source, row.line)
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
    escaped = _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text[:_RAW_CHARACTERS])
    return escaped[:_RAW_CHARACTERS]


def _prompt(row: object, fields: Mapping[str, str], source: str, line: int) -> Prompt:
    if isinstance(row, str):
        row, fields = {"prompt": row}, {}
    if not isinstance(row, dict):
        raise ItemRejected("not_an_object", f"expected an object or a text, came {shown(row)}")
    turns = _conversation(row, fields)
    said = turns.pop()["content"] if turns and turns[-1]["role"] == "assistant" else ""
    if not turns or turns[-1]["role"] != "user":
        raise ItemRejected("no_question", f"expected a user's turn to answer, came {shown(turns[-1:])}")
    if any(not turn["content"].strip() for turn in turns):
        raise ItemRejected("empty_prompt", f"expected text in each of {len(turns)} turns, one has none")
    if turns[0]["role"] != "system" and (column := _held(row, _columns("system", fields))):
        turns.insert(0, {"role": "system", "content": _text(row, column)})
    reference = _reference(row, fields)
    if reference is None and "reference" not in fields and said.strip():
        reference = said
    tests = _tests(row, fields)
    _check_texts([*(turn["content"] for turn in turns), reference or ""], tests)
    return Prompt(messages=tuple(turns), reference=reference, tests=tests, source=source, line=line)


def _columns(field: str, fields: Mapping[str, str]) -> Sequence[str]:
    if field in fields:
        return [fields[field]] if fields[field] else []
    return _KNOWN[field]


def _held(row: dict[str, Any], columns: Iterable[str]) -> str | None:
    """The first of the columns that holds something: null, NaN, blank text and an empty list are nothing."""
    return next((column for column in columns if not _is_missing(row.get(column))), None)


def _is_missing(value: object) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip()) or value == []


def _conversation(row: dict[str, Any], fields: Mapping[str, str]) -> list[Message]:
    columns = [fields[field] for field in ("prompt", "messages") if field in fields] or _ASKING
    column = _held(row, columns)
    if column is None:
        if any(column in row for column in columns):
            raise ItemRejected("empty_prompt", "expected text to answer, came none")
        raise ItemRejected("no_prompt", f"expected a column {' or '.join(columns)}, came {shown(list(row))}")
    value = row[column]
    if isinstance(value, str) and column not in _columns("messages", fields):
        context = _held(row, ("input", "context")) if column == "instruction" else None
        return [{"role": "user", "content": f"{value}\n\n{_text(row, context)}" if context else value}]
    return [turn for turn in _turns(value, column) if turn["role"] != "system" or turn["content"].strip()]


def _turns(value: object, column: str) -> list[Message]:
    turns = _listed(value)
    if not isinstance(turns, list):
        raise _wrong_type(column, "text or a list of messages", value)
    return [_turn(turn, column) for turn in turns]


def _turn(turn: object, column: str) -> Message:
    if not isinstance(turn, dict):
        raise _wrong_type(column, "messages with role and content", turn)
    role = turn.get("role") or turn.get("from")
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    if not isinstance(role, str) or role not in _ROLES:
        raise ItemRejected("unknown_role", f"expected one of {', '.join(_ROLES)}, came {shown(role)}")
    if not isinstance(content, str):
        raise _wrong_type(column, "text in every turn", content)
    return {"role": _ROLES[role], "content": content}


def _reference(row: dict[str, Any], fields: Mapping[str, str]) -> str | None:
    column = _held(row, _columns("reference", fields))
    if column is None or isinstance(row[column], str):
        return row[column] if column else None
    if isinstance(row[column], bool | int | float):
        return json.dumps(row[column])
    turns = _turns(row[column], column)
    if turns[-1]["role"] != "assistant":
        raise _wrong_type(column, "an assistant's turn at the end", turns[-1])
    return turns[-1]["content"]


def _tests(row: dict[str, Any], fields: Mapping[str, str]) -> tuple[str, ...]:
    column = _held(row, _columns("tests", fields))
    tests = _listed(row[column]) if column else []
    tests = [tests] if isinstance(tests, str) else tests
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise _wrong_type(column, "text or a list of texts", tests)
    return tuple(test for test in tests if test.strip())


def _text(row: dict[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise _wrong_type(column, "text", value)
    return value


def _listed(value: object) -> object:
    """A list that had to be written as text, as a .csv must; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _wrong_type(column: str | None, expected: str, value: object) -> ItemRejected:
    return ItemRejected("wrong_type", f"expected {expected} in {shown(column)}, came {shown(value)}")


def _check_texts(texts: Sequence[str], tests: Sequence[str]) -> None:
    """Tests are never shown to a model, so that only what cannot be stored is refused in them."""
    for text in (*texts, *tests):
        if found := _UNSTORABLE.search(text):
            raise ItemRejected("invalid_text", f"expected text that can be stored, came {shown(found[0])}")
    if token := control_token(texts):
        raise ItemRejected("control_tokens", f"expected plain text, came {shown(token)}")
