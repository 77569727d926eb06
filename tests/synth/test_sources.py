"""Sources: every shape people have, every way a row can be wrong, and what stops before a run begins."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import Prompt, Reject
from synth.errors import UsageError
from synth.sources import check_source, read_prompts

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
free = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(source: object, limit: int | None = None, **fields: str) -> list[Prompt | Reject]:
    return list(read_prompts(str(source), fields, "run", limit))


def read_row(tmp_path: Path, row: object, **fields: str) -> Prompt | Reject:
    path = write(tmp_path / "rows.jsonl", json.dumps(row))
    [one] = read(path, **fields)
    return one


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def asked(rows: list[Prompt | Reject]) -> list[str]:
    return [row.messages[-1]["content"] if isinstance(row, Prompt) else row.reason for row in rows]


def usage_error(source: object, **fields: str) -> str:
    with pytest.raises(UsageError) as caught:
        check_source(str(source), fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- shapes


@pytest.mark.parametrize(
    ("row", "messages", "reference"),
    [
        ("Hi", [USER], None),
        ({"prompt": "Hi"}, [USER], None),
        ({"prompt": [USER]}, [USER], None),
        ({"prompt": [USER], "completion": [ANSWER]}, [USER], "Hello"),
        ({"prompt": "Hi", "messages": [ANSWER], "chosen": "Yo", "rejected": "No"}, [USER], None),
        ({"prompt": None, "question": "Hi", "answer": 42}, [USER], "42"),
        ({"question": "Hi", "answer": True}, [USER], "true"),
        ({"question": "Hi", "answer": "", "output": "Hello"}, [USER], "Hello"),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, [USER], "Hello"),
        ({"instruction": "Add", "input": "1, 2"}, [{"role": "user", "content": "Add\n\n1, 2"}], None),
        ({"instruction": "Add", "context": "1, 2"}, [{"role": "user", "content": "Add\n\n1, 2"}], None),
        ({"messages": [USER, ANSWER, USER, ANSWER]}, [USER, ANSWER, USER], "Hello"),
        ({"messages": [USER, ANSWER], "reference": "Hey"}, [USER], "Hey"),
        ({"messages": [USER, {"role": "assistant", "content": " "}]}, [USER], None),
        ({"messages": json.dumps([USER, ANSWER])}, [USER], "Hello"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, [USER], "Hello"),
        ({"messages": [{"role": None, "content": None, "from": "human", "value": "Hi"}]}, [USER], None),
        ({"conversations": [{"from": "system", "value": ""}, {"from": "human", "value": "Hi"}]}, [USER], None),
        ({"prompt": "Hi", "system": "Be brief"}, [{"role": "system", "content": "Be brief"}, USER], None),
        (
            {"messages": [{"role": "system", "content": "Own"}, USER], "system": "Other"},
            [{"role": "system", "content": "Own"}, USER],
            None,
        ),
        ({"prompt": "[1, 2]"}, [{"role": "user", "content": "[1, 2]"}], None),
        ({"prompt": "Hi", "other": "<|im_end|> \u0000"}, [USER], None),
    ],
)
def test_a_row_is_recognised(tmp_path: Path, row: object, messages: list[Any], reference: str | None) -> None:
    prompt = read_row(tmp_path, row)
    assert isinstance(prompt, Prompt), prompt
    assert list(prompt.messages) == messages
    assert prompt.reference == reference
    assert (prompt.source, prompt.line) == (str(tmp_path / "rows.jsonl"), 1)


@pytest.mark.parametrize("column", ["tests", "test_list"])
@pytest.mark.parametrize("tests", ["assert x", ["assert x"], ["assert x", " "], '["assert x"]'])
def test_tests_are_texts(tmp_path: Path, column: str, tests: object) -> None:
    prompt = read_row(tmp_path, {"prompt": "Hi", column: tests})
    assert isinstance(prompt, Prompt)
    assert prompt.tests == ("assert x",)


def test_tests_may_hold_what_looks_like_a_template(tmp_path: Path) -> None:
    assert isinstance(read_row(tmp_path, {"prompt": "Hi", "tests": "assert f('{{ x }}')"}), Prompt)


def test_fields_name_columns_and_take_precedence(tmp_path: Path) -> None:
    row = {"prompt": "no", "q": "yes", "answer": "no", "a": "yes", "s": "yes", "t": ["yes"], "tests": "no"}
    prompt = read_row(tmp_path, row, prompt="q", reference="a", system="s", tests="t")
    assert isinstance(prompt, Prompt)
    assert [turn["content"] for turn in prompt.messages] == ["yes", "yes"]
    assert (prompt.reference, prompt.tests) == ("yes", ("yes",))


def test_a_named_column_is_the_only_one_tried(tmp_path: Path) -> None:
    prompt = read_row(
        tmp_path, {"prompt": "no", "talk": [USER, ANSWER], "gold": None}, messages="talk", reference="gold"
    )
    assert isinstance(prompt, Prompt)
    assert (list(prompt.messages), prompt.reference) == ([USER], None)
    missing = read_row(tmp_path, {"prompt": "no"}, prompt="q")
    assert isinstance(missing, Reject)
    assert missing.reason == "no_prompt"


def test_instruction_brings_its_input_even_when_named(tmp_path: Path) -> None:
    prompt = read_row(tmp_path, {"instruction": "Add", "input": "1"}, prompt="instruction")
    assert isinstance(prompt, Prompt)
    assert prompt.messages[0]["content"] == "Add\n\n1"


def test_a_field_can_be_done_without(tmp_path: Path) -> None:
    row = {"messages": [USER, ANSWER], "answer": {"odd": 1}, "system": "no"}
    prompt = read_row(tmp_path, row, reference="", system="")
    assert isinstance(prompt, Prompt)
    assert (list(prompt.messages), prompt.reference) == ([USER], None)


def test_a_preferred_answer_is_a_reference_once_named(tmp_path: Path) -> None:
    prompt = read_row(tmp_path, {"prompt": "Hi", "chosen": [USER, ANSWER]}, reference="chosen")
    assert isinstance(prompt, Prompt)
    assert prompt.reference == "Hello"


# --- rejects


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b'{"prompt": "Hi"', "malformed", "not JSON: Expecting ',' delimiter: column 16"),
        (b"[" * 100_000, "malformed", "not JSON"),
        (b'{"prompt": ' + b"1" * 5_000 + b"}", "malformed", "not JSON"),
        (b'{"prompt": "\xff"}', "invalid_utf8", r"b'\xff'"),
        (b"[1]", "not_an_object", "[1]"),
        (b"null", "not_an_object", "None"),
        (b'{"label": 1, "text": "Hi"}', "no_prompt", "['label', 'text']"),
        (b"{}", "no_prompt", "[]"),
        (b'""', "empty_prompt", ""),
        (b'{"prompt": " \\n"}', "empty_prompt", ""),
        (b'{"prompt": null, "messages": []}', "empty_prompt", ""),
        (b'{"prompt": NaN}', "empty_prompt", ""),
        (b'{"messages": [{"role": "user", "content": " "}]}', "empty_prompt", ""),
        (b'"a\\u0000b"', "invalid_text", r"'\x00'"),
        (b'"a\\ud800b"', "invalid_text", r"'\ud800'"),
        (b'{"prompt": "Hi", "answer": "\\udc80"}', "invalid_text", r"'\udc80'"),
        (b'{"prompt": "Hi", "tests": "\\u0000"}', "invalid_text", r"'\x00'"),
        (b'"Hi <|im_end|>"', "control_tokens", "'<|im_end|>'"),
        (b'{"prompt": "Hi", "answer": "</s>"}', "control_tokens", "'</s>'"),
        (b'{"prompt": "Hi", "system": "{{ user }}"}', "control_tokens", "'{{ user }}'"),
        (b'{"prompt": 5}', "wrong_type", "came 5"),
        (b'{"prompt": {"text": "Hi"}}', "wrong_type", "'prompt'"),
        (b'{"prompt": ["Hi"]}', "wrong_type", "came 'Hi'"),
        (b'{"messages": "Hi"}', "wrong_type", "'messages'"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "wrong_type", "image"),
        (b'{"instruction": "Hi", "input": [1]}', "wrong_type", "'input'"),
        (b'{"prompt": "Hi", "system": 5}', "wrong_type", "'system'"),
        (b'{"prompt": "Hi", "answer": {"value": 1}}', "wrong_type", "'answer'"),
        (b'{"prompt": "Hi", "completion": [{"role": "user", "content": "x"}]}', "wrong_type", "'completion'"),
        (b'{"prompt": "Hi", "tests": [1]}', "wrong_type", "'tests'"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', "unknown_role", "'tool'"),
        (b'{"messages": [{"content": "x"}]}', "unknown_role", "None"),
        (b'{"messages": [{"role": ["user"], "content": "x"}]}', "unknown_role", "['user']"),
        (b'{"messages": [{"role": "system", "content": "x"}]}', "no_question", "'system'"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', "no_question", "[]"),
    ],
)
def test_a_bad_line_is_a_reject_and_the_others_go_on(tmp_path: Path, line: bytes, reason: str, detail: str) -> None:
    path = write(tmp_path / "rows.jsonl", b'"one"\n\n' + line + b'\n"two"')
    first, reject, last = read(path)
    assert isinstance(reject, Reject)
    assert asked([first, reject, last]) == ["one", reason, "two"]
    assert detail in reject.detail
    assert "\n" not in reject.detail
    assert (reject.source, reject.line, reject.run_id) == (str(path), 3, "run")
    assert reject.raw == line.decode("utf-8", "backslashreplace")[:2_000]


def test_raw_text_can_be_stored_whatever_came(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.json", json.dumps([{"text": "a\0b\ud800" + "c" * 9_000}]))
    [reject] = read(path)
    assert isinstance(reject, Reject)
    assert len(reject.raw) == 2_000
    assert "\0" not in reject.raw
    reject.raw.encode()


def test_a_deep_row_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked([read_row(tmp_path, {"prompt": "Hi", "tests": "[" * 100_000})]) == ["malformed"]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [{"prompt": deep}, {"prompt": "Hi"}])
    assert asked(read("hf:name")) == ["malformed", "Hi"]


@free
@given(st.binary())
def test_any_bytes_are_prompts_and_rejects(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "rows.jsonl", content)
    text = content.removeprefix(b"\xef\xbb\xbf")
    assert len(read(path)) == sum(bool(line.strip()) for line in text.split(b"\n"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["role", "from", "content", "value"]), inner)
        | st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text()})
    ),
)
columns = st.sampled_from(["prompt", "messages", "instruction", "input", "answer", "tests", "system", "other"])


@free
@given(st.lists(json_values | st.dictionaries(columns, json_values)))
def test_any_values_are_complete_prompts_or_rejects(tmp_path: Path, values: list[Any]) -> None:
    rows = read(write(tmp_path / "rows.jsonl", "".join(json.dumps(value) + "\n" for value in values)))
    assert len(rows) == len(values)
    for row in rows:
        row.model_dump_json()
        if isinstance(row, Prompt):
            assert row.messages[-1]["role"] == "user"
            assert all(turn["content"].strip() for turn in row.messages)


@free
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_any_csv_of_pythons_is_read_row_by_row(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["prompt", "answer"], *rows])
    found = read(path)
    assert len(found) == len(rows)
    for row, (prompt, answer) in zip(found, rows, strict=True):
        if isinstance(row, Prompt):
            assert (row.messages[0]["content"], row.reference or "") == (prompt, answer if answer.strip() else "")


# --- kinds of file


def test_lines_may_end_and_begin_as_windows_writes_them(tmp_path: Path) -> None:
    assert asked(read(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf"one"\r\n\r\n"two"\r\n'))) == ["one", "two"]
    assert asked(read(write(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\n \r\ntwo"))) == ["one", "two"]
    assert asked(read(write(tmp_path / "a.csv", b"\xef\xbb\xbfprompt\r\none\r\n\r\ntwo\r\n"))) == ["one", "two"]
    assert asked(read(write(tmp_path / "a.json", b'\xef\xbb\xbf["one", "two"]'))) == ["one", "two"]


def test_a_line_may_be_huge(tmp_path: Path) -> None:
    text = "word " * 400_000
    assert asked(read(write(tmp_path / "a.jsonl", json.dumps(text)))) == [text]
    assert asked(read(write(tmp_path / "a.csv", f'prompt\n"{text}"\n'))) == [text]


def test_text_is_one_prompt_per_line_numbered_as_in_the_file(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a.txt", b"one\n\n\xff\nthree\xe2\x80\xa8 \n"))
    assert [(row.line, one) for row, one in zip(rows, asked(rows), strict=True)] == [
        (1, "one"),
        (3, "invalid_utf8"),
        (4, "three\u2028 "),
    ]


def test_json_is_a_list_or_an_object_with_one(tmp_path: Path) -> None:
    rows = [{"prompt": "one"}, "two", 3]
    for document in (rows, {"version": 1, "data": rows}):
        found = read(write(tmp_path / "a.json", json.dumps(document, indent=1)))
        assert asked(found) == ["one", "two", "not_an_object"]
        assert [row.line for row in found] == [1, 2, 3]


def test_json_lines_under_the_name_of_json(tmp_path: Path) -> None:
    assert asked(read(write(tmp_path / "a.json", '\ufeff{"prompt": "one"}\n{"prompt": "two"}\n'))) == ["one", "two"]


def test_csv_rows_may_span_lines_and_are_numbered_by_their_first(tmp_path: Path) -> None:
    text = 'prompt,answer\n"one\nof ""two"" lines",1\n\nthree\nfour,4,4\n"f"ive,5\nsix,6\n"seven,7\n'
    rows = read(write(tmp_path / "a.csv", text))
    assert [(row.line, one) for row, one in zip(rows, asked(rows), strict=True)] == [
        (2, 'one\nof "two" lines'),
        (5, "malformed"),
        (6, "malformed"),
        (7, "malformed"),
        (8, "six"),
        (9, "malformed"),
    ]
    assert isinstance(rows[1], Reject)
    assert (rows[1].detail, rows[1].raw) == ("expected 2 cells, came 1", "three\n")


def test_csv_bytes_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a.csv", b"prompt\none\n\xff\nth\0ree\nfour\n"))
    assert asked(rows) == ["one", "invalid_utf8", "invalid_text", "four"]
    assert isinstance(rows[1], Reject)
    assert rows[1].raw == "\\xff\n"


def test_tabs_part_a_tsv(tmp_path: Path) -> None:
    [prompt] = read(write(tmp_path / "a.tsv", 'prompt\ttests\none, two\t[""assert 1""]\n'.replace('""', '"')))
    assert isinstance(prompt, Prompt)
    assert (prompt.messages[0]["content"], prompt.tests) == ("one, two", ("assert 1",))


def test_parquet_is_read_with_its_lists(tmp_path: Path) -> None:
    rows = [{"messages": [USER, ANSWER], "tests": ["t"]}] * 300 + [{"messages": None, "tests": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert asked(found) == ["Hi"] * 300 + ["empty_prompt"]
    assert isinstance(found[0], Prompt)
    assert (found[0].reference, found[0].tests, found[-1].line) == ("Hello", ("t",), 301)


def test_parquet_bytes_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    text = pa.array([b"one", b"\xff", b"three"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, text.buffers())
    pq.write_table(pa.table({"prompt": column}), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert asked(rows) == ["one", "invalid_utf8", "three"]
    assert isinstance(rows[1], Reject)
    assert (rows[1].line, rows[1].raw) == (2, "\\xff")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.GZ"])
def test_files_may_be_compressed(tmp_path: Path, name: str) -> None:
    content = {"jsonl": '"one"', "json": '["one"]', "csv": "prompt\none", "txt": "one"}[name.split(".")[1]]
    path = write(tmp_path / name, gzip.compress(content.encode()))
    check_source(str(path), {})
    assert asked(read(path)) == ["one"]


# --- folders, limits, datasets


def test_a_folder_is_its_files_by_name(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "two\n")
    write(tmp_path / "a.jsonl", '"one"\n')
    write(tmp_path / "c" / "a.csv", "prompt\nthree\n")
    for name in (".hidden.txt", ".cache/a.txt", "README.md", "d.txt/e.log"):
        write(tmp_path / name, "no")
    check_source(str(tmp_path), {})
    rows = read(tmp_path)
    assert asked(rows) == ["one", "two", "three"]
    assert [row.source for row in rows] == [f"{tmp_path}/{name}" for name in ("a.jsonl", "b.txt", "c/a.csv")]


def test_the_source_is_named_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in" / "a.txt", "one")
    monkeypatch.chdir(tmp_path)
    assert [read(name)[0].source for name in ("in/a.txt", "./in", "in/")] == ["in/a.txt", "./in/a.txt", "in/a.txt"]


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"\xff.txt"), "one\n{{ two }}")
    assert [row.source for row in read(tmp_path)] == [f"{tmp_path}/\\udcff.txt"] * 2


def test_limit_counts_prompts_across_files(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"one\n\xff\ntwo\n")
    write(tmp_path / "b.txt", b"\xff\nthree\nfour\n")
    assert asked(read(tmp_path, limit=1)) == ["one"]
    assert asked(read(tmp_path, limit=3)) == ["one", "invalid_utf8", "two", "invalid_utf8", "three"]
    assert len(read(tmp_path, limit=9)) == 6


def test_nothing_is_read_beyond_what_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", gzip.compress(b"one\n" * 1_000_000)[:-100])
    check_source(str(path), {})
    assert next(read_prompts(str(path), {}, "run")).line == 1
    assert len(read(path, limit=1000)) == 1000


def test_a_file_that_breaks_off_stops_the_reading(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{number}\n" for number in range(1000)).encode())
    with pytest.raises(UsageError, match=r"a\.txt\.gz.*ended before"):
        read(write(tmp_path / "a.txt.gz", whole[: len(whole) // 2]))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "data" / "train.jsonl", '{"question": "one", "answer": "1"}\n{"question": "two", "answer": ""}\n')
    write(tmp_path / "data" / "test.jsonl", '{"question": "three", "answer": "3"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_a_dataset_is_streamed(dataset: Path) -> None:
    check_source("hf:./data", {"prompt": "question"})
    rows = read("hf:./data")
    assert asked(rows) == ["one", "two"]
    assert [(row.source, row.line) for row in rows] == [("hf:./data", 1), ("hf:./data", 2)]
    assert asked(read(f"hf:{dataset}:test")) == ["three"]
    assert asked(read("hf:data", limit=1)) == ["one"]


def test_a_saved_dataset_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved = datasets.Dataset.from_dict({"messages": [[USER, ANSWER]]})
    saved.save_to_disk("one")
    datasets.DatasetDict({"train": saved}).save_to_disk("many")
    assert asked(read("hf:one")) == asked(read("hf:many:train")) == ["Hi"]
    assert "check its name, its split" in usage_error("hf:one:test")


def test_a_name_on_the_hub_may_carry_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[object] = []

    def load(*args: object, **options: object) -> list[dict[str, str]]:
        asked_for.append((*args, options["split"]))
        return [{"prompt": "one"}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert asked(read("hf:openai/gsm8k/main:test") + read("hf:owner/name") + read("hf:name")) == ["one"] * 3
    assert asked_for == [("openai/gsm8k", "main", "test"), ("owner/name", None, "train"), ("name", None, "train")]


# --- what stops before a run begins


def test_an_unknown_field_is_named_with_the_nearest() -> None:
    assert usage_error("nowhere", refrence="x") == "a prompt has no field 'refrence'; did you mean 'reference'?"
    assert "prompt" in usage_error("nowhere", prompt="")


def test_a_missing_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "prompts.jsonl", "")
    assert usage_error(tmp_path / "prompt.jsonl").endswith(f"did you mean '{tmp_path}/prompts.jsonl'?")
    assert usage_error("owner/name").endswith("hf:NAME")
    assert "not found" in usage_error("a\0b.jsonl")


def test_an_unknown_type_is_told_which_are_known(tmp_path: Path) -> None:
    assert ".jsonl" in usage_error(write(tmp_path / "a.xlsx", ""))
    assert "holds no prompts" in usage_error(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '{"a": 1}', "a list of rows"),
        ("a.json", '{"a": [], "b": []}', "a list of rows"),
        ("a.json", "5", "a list of rows"),
        ("a.json", '["a', "Unterminated string"),
        ("a.json", b'["\xff"]', "utf-8"),
        ("a.json", "[" * 100_000, "recursion"),
        ("a.parquet", "no", "Parquet"),
        ("a.txt.gz", "no", "gzip"),
        ("a.csv", "prompt,prompt\n", "'prompt'"),
        ("a.csv", b"prom\xffpt\n", "utf-8"),
        ("a.csv", '"a"b,c\n', "',' expected"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    path = write(tmp_path / name, content)
    assert said in usage_error(path)
    with pytest.raises(UsageError):
        read(path)


def test_a_file_that_may_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "a.txt", "")
    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in usage_error(path)


def test_a_column_that_the_source_lacks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", 'bad\n{"question": "a"}\n{"other": "b", "answer": "c"}\n')
    check_source(str(path), {"prompt": "question", "reference": "answer", "tests": ""})
    assert usage_error(path, prompt="qestion").endswith("did you mean 'question'?")
    assert "has no column 'x'" in usage_error(write(tmp_path / "a.txt", "one"), prompt="x")
    check_source(str(write(tmp_path / "b.txt", "")), {"prompt": "x"})


def test_datasets_that_cannot_be_had(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hf:", "hf::train", "hf:a:b:c", "hf:a:train[:5]"):
        assert "expected hf:NAME" in usage_error(name)
    assert "did you mean 'data'?" in usage_error("hf:./dat")
    assert "['train', 'test']" in usage_error("hf:./data:dev")
    assert "no column 'x'" in usage_error("hf:./data", prompt="x")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "check its name, its split and the connection" in usage_error("hf:owner/unknown")


def test_importing_is_cheap() -> None:
    heavy = "{'datasets', 'pyarrow', 'polars', 'torch'} & set(sys.modules)"
    code = f"import sys, synth.sources; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
