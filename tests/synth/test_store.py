"""The store: what is written is read at once and once, whatever is sealed, compacted or left behind meanwhile."""

import json
import subprocess
import sys

import pytest

from schemas import TABLES, Item, Judgment, Prompt, Response, Run
from synth import store as store_module
from synth.errors import UsageError
from synth.store import Store, Writer
from tests.harness import ask

COMMON = {"item_id": "pr_1", "prompt_id": "pr_1", "recipe": "ilf", "work_id": "wk_1", "run_id": "ru_1"}


def mark(number: int) -> Item:
    return Item(item_id=f"pr_{number}", recipe="ilf", work_id="wk_1", run_id="ru_1", status="done")


def response(text: str, kind: str = "draft", **fields) -> Response:
    return Response(**COMMON, model="m", call_ids=(), kind=kind, text=text, **fields)


def judgment(kind: str, responses: list[Response], **fields) -> Judgment:
    ids = tuple(one.id for one in responses)
    return Judgment(**COMMON, model="m", kind=kind, response_ids=ids, author="model", **{"call_ids": (), **fields})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", create=True)


def count(store: Store, table: str = "items") -> int:
    return store.sql(f"SELECT count(*) FROM {table}").item()


def test_rows_are_read_before_and_after_they_are_sealed(store):
    writer = Writer(store)
    writer.write([mark(1), ask("hi")])
    writer.flush()
    assert (count(store), count(store, "prompts")) == (1, 1)
    writer.close()
    assert store.write_ahead_files() == []
    assert (count(store), count(store, "prompts")) == (1, 1)


def test_every_table_has_its_columns_when_empty(store):
    for table, row in TABLES.items():
        assert store.sql(f"SELECT * FROM {table}").columns == row.arrow_schema().names


def test_a_writer_that_was_killed_loses_nothing_committed(store):
    script = f"""
import os
from synth.store import Store, Writer
from schemas import Item
writer = Writer(Store({str(store.path)!r}))
for number in range(100):
    writer.write([Item(item_id=f"pr_{{number}}", recipe="ilf", work_id="wk", run_id="ru", status="done")])
writer.flush()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert count(store) == 100
    assert store.recover() == 1
    assert (count(store), store.write_ahead_files()) == (100, [])


def test_sealing_again_after_a_crash_doubles_nothing(store):
    writer = Writer(store)
    writer.write([mark(1)])
    writer.flush()
    [wal] = store.write_ahead_files()
    copy = wal.read_bytes()
    writer.close()
    wal.write_bytes(copy)  # as if the process had died between the commit and the removal
    assert count(store) == 1
    store.recover()
    assert count(store) == 1


def test_a_full_write_ahead_file_is_sealed_while_writing_goes_on(store, monkeypatch):
    monkeypatch.setattr(store_module, "SEAL_BYTES", 2000)
    writer = Writer(store)
    for number in range(100):
        writer.write([mark(number)])
        if number % 10 == 0:
            writer.flush()
            assert count(store) == number + 1
    writer.close()
    assert count(store) == 100
    assert len(list((store.path / "items").glob("*.parquet"))) > 3


def test_compaction_keeps_every_row_once_and_removes_old_files_later(store, monkeypatch):
    for number in range(5):
        writer = Writer(store)
        writer.write([mark(number)])
        writer.close()
    assert not store.compact(at_least=6)
    before = store.connect()
    assert store.compact(at_least=5)
    assert count(store) == 5
    assert before.execute("SELECT count(*) FROM items").fetchall() == [(5,)]
    assert len(list((store.path / "items").glob("*.parquet"))) == 6
    monkeypatch.setattr(store_module, "KEEP_REPLACED_S", -1)
    store.compact()
    assert len(list((store.path / "items").glob("*.parquet"))) == 1
    assert count(store) == 5


def test_prompts_and_runs_show_one_row_per_id(store):
    run = {"config": "{}", "work_ids": (), "version": "1", "started_at": "2026-01-01T00:00:00Z"}
    for status, time in (("running", "2026-01-01T00:00:01Z"), ("done", "2026-01-01T00:00:02Z")):
        writer = Writer(store)
        writer.write([ask("hi"), Run(**run, updated_at=time, status=status)])
        writer.close()
    assert count(store, "prompts") == 1
    assert store.sql("SELECT status FROM runs").item() == "done"


def test_known_finished_and_calls_answer_for_the_given_ids(store):
    writer = Writer(store)
    writer.write([mark(1), mark(2), ask("hi")])
    writer.flush()
    assert store.known("prompts", [ask("hi").id, "pr_none"]) == {ask("hi").id}
    assert store.finished("wk_1", ["pr_2", "pr_3"]) == {"pr_2": "done"}
    assert store.finished("wk_2", ["pr_2"]) == {}
    assert store.calls_of(["pr_1"]) == {}
    writer.close()


def test_preferences_unify_comparisons_rankings_scores_and_refinements(store):
    draft, other = response("a"), response("b")
    first = response("c", "refinement", draft_id=draft.id, parent_id=draft.id, round=1)
    second = response("d", "refinement", draft_id=draft.id, parent_id=draft.id, round=1)
    shown = {"options": ("A", "B"), "principle_id": "pn_1"}
    rows = [
        draft, other, first, second,
        judgment("comparison", [draft, other], probabilities=(0.9, 0.1), call_ids=("ca_1",), **shown),
        judgment("comparison", [other, draft], probabilities=(0.3, 0.7), call_ids=("ca_2",), **shown),
        judgment("ranking", [first, second], scores=(0.2, 0.6), verdict=second.id),
        judgment("score", [draft], scores=(3.0,), aspect="tone"),
        judgment("score", [other], scores=(5.0,), aspect="tone"),
    ]  # fmt: skip
    writer = Writer(store)
    writer.write(rows)
    writer.close()
    by_chance = judgment(
        "ranking", [draft, other], scores=(0.9, 0.1), verdict=draft.id, aspect="random", call_ids=("ca_3",)
    )
    by_hand = judgment("score", [draft], scores=(9.0,), aspect="tone", call_ids=("ca_4",)).model_copy(
        update={"author": "human", "id": "ju_human"}
    )
    writer = Writer(store)
    writer.write([by_chance, by_hand])
    writer.close()
    found = {
        source: (chosen, rejected, pytest.approx(p_chosen), pytest.approx(margin))
        for source, chosen, rejected, p_chosen, margin in store.sql(
            "SELECT source, chosen, rejected, p_chosen, margin FROM preferences"
        ).rows()
    }
    assert found == {
        "comparison": ("a", "b", 0.8, 1.386294),
        "ranking": ("d", "c", 1.0, 0.4),
        "score": ("b", "a", 1.0, 2.0),
        "refinement": ("d", "a", 1.0, 1.0),
    }


def test_pairs_carry_the_prompt_and_what_was_said(store):
    prompt = ask("hi")
    ids = {**COMMON, "prompt_id": prompt.id, "item_id": prompt.id, "model": "m", "call_ids": ()}
    draft = Response(**ids, kind="draft", text="a")
    better = Response(**ids, kind="refinement", text="b", draft_id=draft.id, round=1)
    from schemas import Critique

    writer = Writer(store)
    writer.write([prompt, draft, better, Critique(**ids, response_id=draft.id, text="dull", scope="holistic")])
    writer.close()
    [pair] = list(store.pairs())
    assert (pair.messages, pair.chosen, pair.rejected, pair.rejected_critique) == (prompt.messages, "b", "a", "dull")


def test_a_store_that_cannot_be_used_is_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="no store at"):
        Store(tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="not empty and not a store"):
        Store(tmp_path / "full", create=True)
    Store(tmp_path / "new", create=True)
    (tmp_path / "new" / "burnish.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UsageError, match="format 99, this Burnish reads up to"):
        Store(tmp_path / "new")
    (tmp_path / "new" / "burnish.json").write_text("{")
    with pytest.raises(UsageError, match="cannot read"):
        Store(tmp_path / "new")
    with pytest.raises(UsageError, match="cannot write the store"):
        Store("/proc/nothing/store", create=True)


def test_row_ids_depend_on_content_only():
    assert Prompt(messages=({"role": "user", "content": "hi"},), line=1).id == ask("hi", source="elsewhere").id
    assert response("a").id != response("b").id
