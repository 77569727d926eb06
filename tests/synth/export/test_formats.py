"""Each format's SQL: its columns are the row model's, and its rows are the ones meant."""

from importlib import resources

import pytest

from schemas import Prompt
from schemas.exports import ExportRow
from schemas.row import arrow_schema
from synth.export.formats import FORMATS, made_of, query, row_model
from tests.synth.export.conftest import Story, tell, write_store


def rows(store, format: str) -> list[dict]:
    with store.connect() as connection:
        return connection.sql(query(format)).to_arrow_table().to_pylist()


def texts(found: list[dict], column: str = "completion") -> list[str]:
    return [row[column][0]["content"] for row in found]


@pytest.fixture
def tell_store(tmp_path):
    return lambda *stories: write_store(tmp_path / "store", [row for story in stories for row in story.rows])


@pytest.fixture
def prompt() -> Prompt:
    return Prompt(messages=({"role": "user", "content": "Hi?"},))


def test_every_sql_file_has_a_row_model_and_the_other_way_round():
    files = {
        path.name.removesuffix(".sql")
        for path in resources.files("synth.export").iterdir()
        if path.name.endswith(".sql")
    }
    assert set(FORMATS) == files
    assert len(FORMATS) == len(ExportRow.__subclasses__())
    assert FORMATS[:3] == ("sft", "preference", "unpaired")


@pytest.mark.parametrize("format", FORMATS)
def test_columns_are_those_of_the_row_model(store, format):
    with store.connect() as connection:
        table = connection.sql(query(format)).to_arrow_table()
    expected = arrow_schema(row_model(format))
    assert table.schema.names == expected.names
    assert table.schema.types == expected.types
    for row in table.to_pylist():
        row_model(format).model_validate(row)
    assert table.num_rows >= 8
    assert made_of(format) != "records"


@pytest.mark.parametrize("format", FORMATS)
def test_a_store_written_in_another_order_gives_the_same_rows(store, tmp_path, format):
    backwards = [row for number in range(17, 9, -1) for row in reversed(tell(number))]
    assert rows(write_store(tmp_path / "store", backwards), format) == rows(store, format)


def test_sft_imitates_the_refinement_decided_for_and_every_round_where_none_was(tell_store, prompt):
    ilf, cai = Story(prompt, "ilf"), Story(prompt, "constitutional_ai")
    draft = ilf.draft("bad")
    good, poor = ilf.refinement(draft, "good"), ilf.refinement(draft, "poor", index=1)
    ilf.judgment("ranking", good, poor, scores=(0.9, 0.1), verdict=good.id)
    first = cai.draft("rude")
    second = cai.refinement(first, "less rude")
    cai.refinement(second, "polite", round=2)
    found = rows(tell_store(ilf, cai), "sft")
    assert sorted(zip(texts(found), [row["round"] for row in found], strict=True)) == [
        ("good", 1), ("less rude", 1), ("polite", 2),
    ]  # fmt: skip
    assert all(row["prompt"] == list(prompt.messages) for row in found)


def test_sft_has_an_answer_to_a_prompt_once(tell_store, prompt):
    same_words = prompt.model_copy(update={"id": "", "reference": "Hi."})
    stories = [
        Story(prompt, "constitutional_ai"),
        Story(Prompt(**same_words.model_dump(exclude={"id"})), "constitutional_ai"),
    ]
    for story in stories:
        draft = story.draft("rude")
        story.refinement(story.refinement(draft, "polite"), "polite", round=2)
    [row] = rows(tell_store(*stories), "sft")
    assert row["round"] == 1


def test_preference_keeps_every_signal_and_no_row_twice(tell_store, prompt):
    story = Story(prompt, "ilf")
    draft = story.draft("bad")
    good, poor, twin = (story.refinement(draft, text, index=i) for i, text in enumerate(("good", "poor", "poor")))
    story.judgment("ranking", good, poor, twin, scores=(0.9, 0.1, 0.1), verdict=good.id)
    story.comparison(good, draft, 0.8)
    found = rows(tell_store(story), "preference")
    pairs = {
        (row["source"], chosen, rejected)
        for row, chosen, rejected in zip(found, texts(found, "chosen"), texts(found, "rejected"), strict=True)
    }
    assert pairs == {("ranking", "good", "poor"), ("refinement", "good", "bad"), ("comparison", "good", "bad")}
    assert len(found) == 3
    assert {row["rejected_id"] for row in found if row["source"] == "ranking"} == {min(poor.id, twin.id)}


def test_unpaired_takes_the_majority_weighted_by_probability(tell_store, prompt):
    story = Story(prompt, "constitutional_ai")
    a, b, c, d = (story.draft(text, index=index) for index, text in enumerate("abcd"))
    story.comparison(a, b, 0.9)  # b: -0.9 + 0.6 + 0.8 = 0.5
    story.comparison(b, c, 0.6)  # c: -0.6 + 0.6 = 0, left out
    story.comparison(c, d, 0.6)  # d: -0.6 - 0.8
    story.comparison(b, d, 0.8)
    found = rows(tell_store(story), "unpaired")
    assert dict(zip(texts(found), [row["label"] for row in found], strict=True)) == {"a": True, "b": True, "d": False}
    assert {row["source"] for row in found} == {"comparison"}


def test_unpaired_counts_equal_texts_as_one_answer(tell_store, prompt):
    story = Story(prompt, "constitutional_ai")
    a, b, twin, c = (story.draft(text, index=index) for index, text in enumerate("abac"))
    story.comparison(a, b, 0.9)
    story.comparison(c, twin, 0.6)
    found = rows(tell_store(story), "unpaired")
    labels = sorted(zip(texts(found), [row["label"] for row in found], strict=True))
    assert labels == [("a", True), ("b", False), ("c", True)]


def test_chain_text_is_its_segments_in_order(store):
    found = rows(store, "chain")
    assert {row["template"] for row in found} == {"worse_to_better", "better"}
    for row in found:
        assert row["text"] == "".join(segment["text"] for segment in row["segments"])
        assert row["segments"][0] == {"kind": "prompt", "text": "Say hello.", "loss": False}
