"""Makes a prompt of a row in any of the shapes people have: prompt, instruction and input, messages, conversations.

What a row holds is recognised by its columns. A conversation that ends in the assistant's turn gives that turn as the
reference.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from schemas import Message, Prompt
from synth.errors import ItemRejected, shown
from synth.text import control_token

# Columns that can ask, in the order they are tried. `instruction` brings its `input` or `context`.
_ASKING = ("prompt", "messages", "conversations", "instruction", "question")
# Fields of a prompt, with the columns that may hold them. `chosen` is no reference: it was preferred to one other
# answer, no more; `fields` can make it one.
FIELDS = {
    "prompt": ("prompt",),
    "messages": ("messages", "conversations"),
    "reference": ("reference", "answer", "response", "output", "completion"),
    "tests": ("tests", "test_list"),
    "system": ("system",),
}
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
}  # fmt: skip
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def to_prompt(row: object, fields: Mapping[str, str], source: str, line: int) -> Prompt:
    """The prompt a row holds; `fields` names columns for fields, see `synth.sources`. Raises `ItemRejected`."""
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
    return FIELDS[field]


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
        if found := UNSTORABLE.search(text):
            raise ItemRejected("invalid_text", f"expected text that can be stored, came {shown(found[0])}")
    if token := control_token(texts):
        raise ItemRejected("control_tokens", f"expected plain text, came {shown(token)}")
