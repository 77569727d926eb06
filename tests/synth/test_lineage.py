"""Lineage: from any row, exported or not, down to the prompt and the very calls behind it."""

import json

import pyarrow.parquet as pq
import pytest

from schemas import TABLES, RunConfig
from synth.engines.scripted import ScriptedEngine, last_text
from synth.errors import UsageError
from synth.export import export
from synth.lineage import trace
from synth.session import run


def script(request, seed):
    if request.__class__.__name__ == "Choose":
        return (0.2, 0.8) if len(last_text(request)) % 2 else (0.7, 0.3)
    return f"text {seed % 97}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store that every recipe has written to, and a folder of what it exports."""
    folder = tmp_path_factory.mktemp("lineage")
    lines = [json.dumps({"prompt": f"question {number}"}) for number in range(4)]
    (folder / "prompts.jsonl").write_text("\n".join([*lines, "not json"]))
    config = RunConfig(
        recipes=("ilf", "constitutional_ai", "chain_of_hindsight"),
        prompts=str(folder / "prompts.jsonl"),
        store=str(folder / "store"),
    )
    store = run(config, {"default": ScriptedEngine(script)}).store
    export(store, ["preference", "chain"], folder / "dataset")
    return store, folder / "dataset"


def everything(node):
    yield node
    for _, source in node.sources:
        yield from everything(source)


def test_an_exported_pair_leads_to_its_prompt_its_critique_and_the_calls_behind_both(made):
    store, dataset = made
    rows = pq.read_table(dataset / "preference").to_pylist()
    pair = next(row for row in rows if row["source"] == "ranking")
    root = trace(store, pair["chosen_id"])
    assert root.row["text"] == pair["chosen"][-1]["content"]
    found = {node.row["id"]: node for node in everything(root)}
    assert {node.table for node in found.values()} == {"responses", "prompts", "critiques", "calls"}
    assert pair["prompt_id"] in found
    for node in found.values():
        assert set(node.row.get("call_ids", ())) <= set(found)
    said = {node.row["role"] for node in found.values() if node.table == "calls"}
    assert said == {"policy", "critic", "editor"}


def test_an_exported_chain_leads_to_both_its_responses(made):
    store, dataset = made
    row = next(row for row in pq.read_table(dataset / "chain").to_pylist() if row["template"] == "worse_to_better")
    root = trace(store, row["chain_id"])
    worse, better = [source.row["text"] for column, source in root.sources if column == "response_ids"]
    assert 0 < row["text"].index(worse) < row["text"].rindex(better)
    assert any(node.table == "calls" for node in everything(root))


def test_a_judgment_leads_to_its_principle(made):
    store, _ = made
    [[id]] = store.sql("SELECT id FROM judgments WHERE kind = 'comparison' ORDER BY id LIMIT 1").rows()
    assert "principle_id" in [column for column, _ in trace(store, id).sources]


def test_a_row_named_again_stands_without_its_own_sources(made):
    store, _ = made
    [[id]] = store.sql("SELECT id FROM judgments WHERE kind = 'ranking' ORDER BY id LIMIT 1").rows()
    nodes = list(everything(trace(store, id)))
    with_sources = [node.row["id"] for node in nodes if node.sources]
    assert len(with_sources) == len(set(with_sources)) < len(nodes)


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_every_table_can_be_traced(made, table):
    store, _ = made
    [[id]] = store.sql(f"SELECT id FROM {table} ORDER BY id LIMIT 1").rows()
    root = trace(store, id)
    assert (root.table, root.row["id"]) == (table, id)


@pytest.mark.parametrize("id", ["re_000000000000000000000000", "xx_1", "nonsense", "", "re_' OR '1'='1"])
def test_an_unknown_id_is_refused_in_one_line(made, id):
    store, _ = made
    with pytest.raises(UsageError, match=r"ids begin with pr_… \(prompts\), re_… \(responses\)") as caught:
        trace(store, id)
    assert repr(id) in str(caught.value)
    assert "\n" not in str(caught.value)
