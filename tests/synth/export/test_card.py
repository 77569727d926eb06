"""The dataset card: what it says, and that nothing a model says can become part of it."""

import re
from itertools import pairwise

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from schemas import Prompt
from schemas.exports import ExportRow
from schemas.row import arrow_schema
from synth.export import FORMATS, card, export
from synth.export.formats import row_model
from tests.synth.export.conftest import HOSTILE, Story, run_rows, write_store

markdown = MarkdownIt("commonmark").enable("table")
tricky = st.text(st.sampled_from("`|<>*_[]()!&;\\~-#:/ \n\r\u202eab")) | st.text()


def read(folder) -> tuple[dict, str]:
    """The header and the Markdown under it."""
    _, header, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), body


def headings(body: str) -> list[str]:
    tokens = markdown.parse(body)
    return [text.content for mark, text in pairwise(tokens) if mark.type == "heading_open"]


@pytest.fixture(scope="module")
def readme(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "dataset"
    export(store, FORMATS, folder)
    return read(folder)


def test_header_says_what_the_hub_asks_for(readme):
    header, _ = readme
    assert (header["license"], header["license_name"], header["language"]) == ("other", card.LICENSE, ["und"])
    assert header["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in header["configs"]] == list(FORMATS)
    for info in header["dataset_info"]:
        assert [feature["name"] for feature in info["features"]] == list(row_model(info["config_name"]).model_fields)


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (2_000_000, "1M<n<10M"),
        (999_999_999, "100M<n<1B"),
        (10**9, "n>1B"),
    ],
)
def test_size_category(rows, category):
    assert card._size_category(rows) == category


def test_features_are_spelled_as_datasets_spells_them():
    from datasets import Features

    for model in ExportRow.__subclasses__():
        schema = arrow_schema(model)
        assert card._features(schema) == Features.from_arrow_schema(schema)._to_yaml_list()


def test_body_tells_how_it_was_made(readme):
    _, body = readme
    for said in (
        "arXiv 2303.16755", "`ilf` | `ranking` | 8", "`ilf` | `truncated` | 1", "| `empty_prompt` | 1",
        "`hf:critic` | `f1`", "judge=openai:big", "Probability that chosen is better",
        'load_dataset("PATH", "sft", split="train")',
    ):  # fmt: skip
        assert said in body
    assert headings(body)[:4] == ["Language feedback data", "Load", "Train", "Train on chains"]


def test_no_path_server_or_password_of_this_machine(readme):
    _, body = readme
    assert not re.search(r"/home|/srv|/tmp|secret|hunter2|10\.0\.0\.7|://", body)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("pocket", "pocket"), ("hf:org/name", "hf:org/name"), ("hf:org/name:train", "hf:org/name:train"),
        ("hf:/srv/models/mine/", "hf:mine"), ("vllm:~/mine", "vllm:mine"),
        ("openai:org/big@host:8000", "openai:org/big"), ("openai:big@https://me:pw@host/v1", "openai:big"),
        ("s3://bucket/key/a.parquet?token=x", "a.parquet"),
        ("prompts/a.jsonl", "prompts/a.jsonl"), ("/a/b:c.jsonl", "b:c.jsonl"), ("../../a.csv", "a.csv"),
        ("C:\\data\\a.csv", "a.csv"), ("", ""),
    ],
)  # fmt: skip
def test_public_names(name, public):
    assert card._public(name) == public


def test_hostile_text_stays_text(tmp_path, readme):
    prompt = Prompt(messages=({"role": "user", "content": HOSTILE},))
    stories = [Story(prompt, recipe) for recipe in ("ilf", "a|`b`<script>\n# c")]
    for story in stories:
        draft = story.draft(HOSTILE)
        chosen = story.refinement(draft, f"{HOSTILE} more")
        story.judgment("ranking", chosen, scores=(1.0,), verdict=chosen.id)
        story.chain("better", chosen)
    rows = [*run_rows(), *(row for story in stories for row in story.rows)]
    where = "recipe <> '<script>' /* ```\n\n# heading */"
    export(write_store(tmp_path / "store", rows), FORMATS, tmp_path / "out", where=where)
    header, body = read(tmp_path / "out")
    assert {**header, "dataset_info": 0} == {**readme[0], "dataset_info": 0}
    assert headings(body) == headings(readme[1])
    tokens = markdown.parse(body)
    raw = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert raw == [card.MARK]
    inline = [part for token in tokens for part in token.children or []]
    assert not [part for part in inline if part.type in ("html_inline", "link_open", "image")]
    assert "alert(1)" in body
    assert "<script" not in markdown.render(body)
    assert "{{ 7 * 7 }} {% raw %}" in body
    assert all(one.isprintable() or one == "\n" for one in body)


@given(tricky)
@example("```\n# heading")
@example("````")
def test_a_block_of_code_holds_its_text_and_ends_after_it(text):
    tokens = markdown.parse(f"before\n\n{card._fenced(text, 'json')}\n\nafter\n")
    [fence] = [token for token in tokens if token.type == "fence"]
    assert fence.content == f"{card._visible(text)}\n"
    assert [token.content for token in tokens if token.type == "inline"] == ["before", "after"]


@given(tricky, tricky)
@example("<b>`|`` |", "<b>bold</b> [a](b) | `c`")
def test_a_cell_stays_one_cell(first, second):
    table = f"| a | b |\n|---|---|\n| {card._cell(first)} | {card._prose(second)} |\n\nafter\n"
    tokens = markdown.parse(table)
    assert sum(token.type == "td_open" for token in tokens) == 2
    inline = [part for token in tokens for part in token.children or []]
    assert {part.type for part in inline} <= {"text", "code_inline", "text_special"}
    assert [token.content for token in tokens if token.type == "inline"][-1] == "after"
