"""Sessions on scripted engines: resuming, stopping, rejecting, and what is refused before any call."""

import json
from pathlib import Path

import pytest

from schemas import RunConfig
from synth.engines.scripted import ScriptedEngine, last_text
from synth.errors import EngineError, Interrupted, RunFailed, UsageError
from synth.export import FORMATS, export
from synth.session import Session, run
from synth.store import Store


def script(request, seed):
    if request.__class__.__name__ == "Choose":
        return (0.6, 0.4) if seed is None and len(last_text(request)) % 2 else (0.3, 0.7)
    return f"text {seed % 97}"


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"question {number}"}) + "\n" for number in range(12)))
    return str(path)


@pytest.fixture
def config(tmp_path, prompts):
    return RunConfig(
        recipes=("ilf", "constitutional_ai", "chain_of_hindsight"),
        prompts=prompts,
        store=str(tmp_path / "store"),
        models={"default": "pocket"},
        constitution="pocket",
        shard_size=60,
        window=3,
    )


def only_ilf(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"recipes": ("ilf",), "constitution": None})


def scripted(answers=script) -> dict[str, ScriptedEngine]:
    return {"default": ScriptedEngine(answers)}


def drive(session: Session) -> None:
    with session:
        session.run()


def ids(store: str) -> dict[str, set[str]]:
    tables = ("prompts", "responses", "critiques", "judgments", "chains", "items", "calls", "rejects")
    with Store(store).connect() as connection:
        return {table: {id for (id,) in connection.execute(f"SELECT id FROM {table}").fetchall()} for table in tables}


def test_a_run_makes_every_kind_of_record_once(config):
    session = run(config, scripted())
    found = ids(config.store)
    assert len(found["prompts"]) == 12
    assert len(found["items"]) == 24 + len(set(session.store.sql("SELECT item_id FROM chains")["item_id"]))
    for table, rows in found.items():
        assert session.store.sql(f"SELECT count(*) FROM {table}").item() == len(rows)
    assert session.store.sql("SELECT status FROM runs").item() == "done"


def test_running_again_makes_no_call_and_changes_nothing(config):
    run(config, scripted())
    before = ids(config.store)
    engines = scripted()
    session = run(config, engines)
    assert engines["default"].asked == []
    assert session.log.tally.calls_reused == 0
    assert ids(config.store) == before


def test_shards_and_windows_change_no_byte_of_the_exports(config):
    run(config, scripted())
    other = config.model_copy(update={"store": config.store + "2", "shard_size": 5, "window": 1})
    assert run(other, scripted()).run_id == run(config, scripted()).run_id
    assert ids(config.store) == ids(other.store)
    for store in (config.store, other.store):
        export(Store(store), FORMATS, f"{store}-dataset")
    for file in Path(f"{config.store}-dataset").rglob("*.parquet"):
        twin = Path(f"{other.store}-dataset") / file.relative_to(f"{config.store}-dataset")
        assert file.read_bytes() == twin.read_bytes()


def test_a_larger_limit_does_only_what_is_new(config):
    run(config.model_copy(update={"limit": 5}), scripted())
    engines = scripted()
    run(config, engines)
    assert not any("question 4" in last_text(request) for request in engines["default"].asked)
    other = config.model_copy(update={"store": config.store + "2"})
    run(other, scripted())
    assert ids(config.store) == ids(other.store)


@pytest.mark.parametrize("stop_after", [1, 2, 30, 120])
def test_an_interrupted_run_goes_on_where_it_stopped(config, stop_after):
    session = Session(config, engines := scripted())

    def stopping(request, seed):
        if len(engines["default"].asked) >= stop_after:
            session.stop()
        return script(request, seed)

    engines["default"].script = stopping
    with pytest.raises(Interrupted):
        drive(session)
    assert Store(config.store).sql("SELECT status FROM runs").item() == "interrupted"
    paid = ids(config.store)["calls"]

    resumed = scripted()
    session = run(config, resumed)
    whole = config.model_copy(update={"store": config.store + "2"})
    run(whole, scripted())
    assert ids(config.store) == ids(whole.store)
    assert session.log.tally.calls_made == len(ids(config.store)["calls"]) - len(paid)


def test_recipes_share_the_calls_they_have_in_common(config):
    session = run(config.model_copy(update={"recipes": ("ilf", "constitutional_ai")}), scripted())
    assert session.log.tally.calls_reused == 0  # ilf draws with top_p 0.95, constitutional_ai with 1.0
    same = {"ilf": {"top_p": 1.0}}
    session = run(config.model_copy(update={"recipes": ("ilf", "constitutional_ai"), "settings": same}), scripted())
    assert session.log.tally.calls_reused >= 12


def test_duplicates_collapse_and_are_counted(config, prompts):
    with open(prompts, "a") as file:
        file.write(json.dumps({"prompt": "question 3"}) + "\n")
    session = run(only_ilf(config), scripted())
    assert session.progress.duplicate_prompts == 1
    assert session.store.sql("SELECT count(*) FROM drafts").item() == 12


def test_bad_lines_are_rejects_and_are_kept_once(config, prompts):
    with open(prompts, "a") as file:
        file.write('not json\n{"prompt": ""}\n')
    for _ in range(2):
        session = run(only_ilf(config), scripted())
        rows = session.store.sql("SELECT reason, line FROM rejects ORDER BY line").rows()
        assert rows == [("malformed", 13), ("empty_prompt", 14)]
        assert session.outcome.rejected == 2


def test_too_many_rejects_fail_the_run_and_say_so(config):
    with pytest.raises(RunFailed, match="12 of 12 items were rejected, the bound is 20%"):
        run(only_ilf(config), scripted(lambda request, seed: "cut…"))
    store = Store(config.store)
    assert store.sql("SELECT status FROM runs").item() == "failed"
    assert store.sql("SELECT DISTINCT reason, raw FROM rejects").rows() == [("truncated", "cut…")]
    assert store.sql("SELECT count(*) FROM responses").item() == 0


def test_a_bug_in_a_recipe_rejects_its_item_with_the_place(config):
    def broken(request, seed):
        return () if request.__class__.__name__ == "Choose" else script(request, seed)

    with pytest.raises(RunFailed):
        run(only_ilf(config), scripted(broken))
    [[reason, detail]] = Store(config.store).sql("SELECT DISTINCT reason, detail FROM rejects").rows()
    assert reason == "error"
    assert "ValueError" in detail
    assert "choose" in detail


def test_an_engine_that_dies_stops_the_run_and_keeps_what_it_did(config):
    calls = []

    def dying(request, seed):
        calls.append(1)
        if len(calls) > 30:
            raise EngineError("the model is gone")
        return script(request, seed)

    with pytest.raises(EngineError, match="gone"):
        run(config, scripted(dying))
    assert len(ids(config.store)["calls"]) >= 30


def test_prompts_with_control_tokens_of_the_model_are_rejects(config, prompts):
    with open(prompts, "a") as file:
        file.write(json.dumps({"prompt": "say <|end|>"}) + "\n")
    session = run(only_ilf(config), scripted())
    assert session.store.sql("SELECT reason, line FROM rejects").rows() == [("control_tokens", 13)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipes": ("ilff",)}, "recipe 'ilff' not found; did you mean 'ilf'?"),
        ({"models": {"default": "pocket", "polcy": "pocket"}}, "role 'polcy' is not used by .*did you mean 'policy'"),
        ({"models": {"default": "pockett"}}, "model 'pockett' not understood: did you mean 'pocket'"),
        ({"models": {"policy": "pocket"}}, "role 'critic' has no model; add --model critic=MODEL"),
        ({"settings": {"ilf": {"refinement": 3}}}, "ilf has no setting 'refinement'; did you mean 'refinements'?"),
        ({"settings": {"ilf": {"refinements": 0}}}, "ilf.refinements: input should be greater than or equal to 1, got"),
        ({"settings": {"ilf": {"critique_prompt": "See {respnse}"}}}, "nothing fills {respnse}; did you mean 'resp"),
        ({"settings": {"other": {}}}, "settings for recipe 'other', which is not run"),
        ({"constitution": "pockett"}, "constitution 'pockett' not found; did you mean 'pocket'"),
        ({"recipes": ("ilf",), "constitution": "pocket"}, "a constitution is given and ilf reads none"),
        ({"prompts": None}, "recipe 'ilf' reads prompts and none are given"),
        ({"prompts": "none.jsonl"}, "none.jsonl"),
        ({"prompt_pack": "none.yaml"}, "cannot read prompt pack 'none.yaml'"),
        ({"store": "/proc/none"}, "cannot write the store '/proc/none'"),
        ({"fields": {"promt": "text"}}, "did you mean 'prompt'"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_before_any_call(config, change, message):
    engines = None if "models" in change else scripted()
    with pytest.raises(UsageError, match=message) as caught:
        run(config.model_copy(update=change), engines)
    assert "\n" not in str(caught.value)
    if engines:
        assert engines["default"].asked == []
