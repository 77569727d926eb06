"""`burnish run` with and without Prefect, on the pocket model: the same data, and in Prefect what one looks for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from schemas import TABLES
from synth.store import Store
from tests.flows.conftest import until

PROMPTS = (
    {"prompt": "Add 46 and 10.", "reference": "56"},
    {"prompt": "Sort these numbers: 15 55 27 33 6.", "reference": "6 15 27 33 55"},
    {"prompt": "Remove the word soft from: that dark soft fish talks"},
)
NIGHTLY = """
from flows.synthesize import synthesize

if __name__ == "__main__":
    config = {"recipes": ["ilf"], "prompts": "prompts.jsonl", "store": "feedback"}
    synthesize.serve(name="nightly", cron="0 2 * * *", parameters={"config": config})
"""


@contextmanager
def python(*arguments, **environment) -> Iterator[subprocess.Popen[str]]:
    """Python in a process of its own, which goes no further than the block."""
    command = [sys.executable, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.kill()


def burnish_run(recipe, prompts, store, *options, api=None):
    """The command, started; with `api` its run is a flow run."""
    environment = {"PREFECT_API_URL": api} if api else {}
    command = ("-X", "importtime") if not api else ()
    command += ("-c", "from flows.cli import main; main()", "run", recipe, "--prompts", prompts, "--store", store)
    return python(*command, *options, **environment)


def written(path: Path, prompts) -> Path:
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return path


def ids(store: Path) -> dict[str, set[str]]:
    with Store(store).connect() as connection:
        return {table: {id for (id,) in connection.execute(f"SELECT id FROM {table}").fetchall()} for table in TABLES}


def post(address: str, **body) -> httpx.Response:
    """The server's answer, once its database is not locked."""
    return until(lambda: (answer := httpx.post(address, json=body)).status_code != 503 and answer)


def flow_run_of(api: str, prompts: Path) -> dict:
    [run] = post(f"{api}/flow_runs/filter", flow_runs={"name": {"like_": str(prompts)}}).json()
    return run


def task_runs_of(api: str, flow_run: dict) -> list[tuple[str, str]]:
    """Name and state of each, once all have ended: Prefect learns of tasks a moment after they end."""

    def ended() -> list[tuple[str, str]]:
        runs = post(f"{api}/task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}}, sort="NAME_ASC").json()
        return [(run["name"], run["state_type"]) for run in runs] if all(run["end_time"] for run in runs) else []

    return until(ended)


@pytest.fixture(scope="module")
def direct(prefect_server, tmp_path_factory):
    """A run without Prefect while the server starts: its prompts, its store and what it imported."""
    folder = tmp_path_factory.mktemp("direct")
    prompts, store = written(folder / "prompts.jsonl", PROMPTS), folder / "store"
    with burnish_run("ilf", prompts, store) as process:
        _, imported = process.communicate()
    assert process.returncode == 0, imported
    return prompts, store, imported


def test_without_an_api_prefect_is_not_imported(direct):
    _, _, imported = direct
    assert "synth.session\n" in imported
    assert "prefect" not in imported


def test_with_an_api_the_run_is_a_flow_run_that_makes_the_same_data(direct, prefect_api, tmp_path):
    prompts, direct_store, _ = direct
    config, store = tmp_path / "run.toml", tmp_path / "store"
    config.write_text("shard_size = 2")
    with burnish_run("ilf", prompts, store, "--config", config, api=prefect_api) as process:
        _, shown = process.communicate()
    assert process.returncode == 0, shown
    assert ids(store) == ids(direct_store)

    run = flow_run_of(prefect_api, prompts)
    assert run["name"] == f"ilf on {prompts}"
    assert run["state_type"] == "COMPLETED"
    assert run["parameters"]["config"]["recipes"] == ["ilf"]
    assert run["parameters"]["config"]["shard_size"] == 2
    assert task_runs_of(prefect_api, run) == [("shard 0: 2 items", "COMPLETED"), ("shard 1: 1 items", "COMPLETED")]

    where, *progress = shown.splitlines()
    assert where.startswith(f"flow run 'ilf on {prompts}': http")
    assert where.endswith(run["id"])
    assert all(" items, " in line for line in progress), shown


@pytest.mark.parametrize(
    ("recipe", "prompts", "options", "code", "cause"),
    [
        ("constitutional_ai", PROMPTS, ("--constitution", "pokcet"), 2, "did you mean 'pocket'?"),
        ("ilf", [{"prompt": ""}, {"prompt": " "}], (), 1, "2 of 2 items were rejected, the bound is 20%"),
    ],
    ids=["unknown constitution", "too many rejects"],
)
def test_a_failed_run_has_its_cause_as_state(prefect_api, tmp_path, recipe, prompts, options, code, cause):
    source = written(tmp_path / "prompts.jsonl", prompts)
    with burnish_run(recipe, source, tmp_path / "store", *options, api=prefect_api) as process:
        _, shown = process.communicate()
    assert process.returncode == code, shown
    run = flow_run_of(prefect_api, source)
    assert run["state_type"] == "FAILED"
    assert cause in run["state"]["message"]
    assert shown.splitlines()[-1] == f"burnish: {run['state']['message']}"
    assert "Traceback" not in shown


def test_an_api_that_does_not_answer_is_a_mistake_in_the_command(tmp_path):
    source = written(tmp_path / "prompts.jsonl", PROMPTS)
    nowhere = "http://127.0.0.1:9/api"
    with burnish_run("ilf", source, tmp_path / "store", api=nowhere) as process:
        _, shown = process.communicate()
    assert process.returncode == 2, shown
    assert shown.startswith(f"burnish: Failed to reach API at {nowhere}")
    assert shown.count("\n") == 1


def interrupt(process, _api, _prompts):
    process.send_signal(signal.SIGINT)


def cancel(_process, api, prompts):
    id = flow_run_of(api, prompts)["id"]
    assert post(f"{api}/flow_runs/{id}/set_state", state={"type": "CANCELLING"}).is_success


@pytest.mark.parametrize("stop", [interrupt, cancel])
def test_a_stopped_run_is_cancelled_and_keeps_its_calls(prefect_api, tmp_path, stop):
    prompts = written(tmp_path / "prompts.jsonl", [{"prompt": f"Add {number} and 17."} for number in range(200)])
    config, store = tmp_path / "run.toml", tmp_path / "store"
    config.write_text("window = 4")
    with burnish_run("ilf", prompts, store, "--config", config, api=prefect_api) as process:
        # More than the prompts take: calls have been made.
        until(lambda: any(path.stat().st_size > 100_000 for path in (store / "log").glob("*.wal")))
        stop(process, prefect_api, prompts)
        _, shown = process.communicate()
    assert process.returncode == 130, shown
    [(status, calls)] = Store(store).sql("SELECT status, (SELECT count(*) FROM calls) FROM runs").rows()
    assert status == "interrupted"
    assert calls > 0
    run = flow_run_of(prefect_api, prompts)
    assert run["state_type"] == "CANCELLED"
    assert shown.splitlines()[-1] == f"burnish: {run['state']['message']}"
    assert task_runs_of(prefect_api, run) == [("shard 0: 200 items", "CANCELLED")]


def test_sigterm_while_the_model_is_loaded_ends_the_flow_run_too(prefect_api, tmp_path):
    prompts = written(tmp_path / "prompts.jsonl", PROMPTS)
    with burnish_run("ilf", prompts, tmp_path / "store", api=prefect_api) as process:
        assert process.stderr.readline().startswith("flow run")
        process.terminate()
        _, shown = process.communicate()
    assert process.returncode == 130, shown
    assert flow_run_of(prefect_api, prompts)["state_type"] == "CANCELLED"


def test_a_served_flow_runs_on_request_and_by_schedule(direct, prefect_api, tmp_path, monkeypatch):
    _, direct_store, _ = direct
    written(tmp_path / "prompts.jsonl", PROMPTS)
    (tmp_path / "nightly.py").write_text(NIGHTLY)
    monkeypatch.chdir(tmp_path)
    with python("nightly.py", PREFECT_API_URL=prefect_api, PREFECT_RUNNER_POLL_FREQUENCY="1"):
        address = f"{prefect_api}/deployments/name/synthesize/nightly"
        until(lambda: httpx.get(address).is_success)
        deployment = httpx.get(address).json()
        [schedule] = deployment["schedules"]
        assert schedule["active"]
        assert schedule["schedule"]["cron"] == "0 2 * * *"

        creation = f"{prefect_api}/deployments/{deployment['id']}/create_flow_run"
        wrong = post(creation, parameters={"config": {"recipes": [], "store": "feedback"}})
        assert wrong.status_code == 409, wrong.text
        created = post(creation)
        assert created.is_success, created.text

        def ended() -> dict | None:
            run = httpx.get(f"{prefect_api}/flow_runs/{created.json()['id']}").json()
            return run if run["end_time"] else None

        run = until(ended)
    assert run["state_type"] == "COMPLETED", run["state"]["message"]
    assert run["name"] == "ilf on prompts.jsonl"
    made, expected = ids(tmp_path / "feedback"), ids(direct_store)
    assert made["responses"] == expected["responses"]
    assert made["calls"] == expected["calls"]
