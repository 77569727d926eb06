"""The `burnish` command as a user meets it: help, messages and exit codes, queries, and runs stopped in every way."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from schemas import RunConfig
from synth.engines.scripted import ScriptedEngine
from synth.paths import data_dir
from synth.session import run
from synth.store import Store

BURNISH = str(Path(sys.executable).with_name("burnish"))
COMMANDS = ("run", "recipes", "sql", "show", "export", "demo")


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """A folder of one's own, no network, and a terminal of 80 columns without colours."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def burnish(capsys):
    """The command in this process: its exit code, and what it wrote to stdout and stderr."""

    def call(*args: str) -> tuple[int, str, str]:
        try:
            code = main(list(args), prog_name="burnish") or 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def script(request, seed):
    if request.__class__.__name__ == "Choose":
        return (0.2, 0.8) if seed is None else (0.5, 0.5)
    return f"text {seed}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store that recipes have written to."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "prompts.txt").write_text("".join(f"question {number}\n" for number in range(3)))
    config = RunConfig(
        recipes=("ilf", "chain_of_hindsight"), prompts=str(folder / "prompts.txt"), store=str(folder / "store")
    )
    run(config, {"default": ScriptedEngine(script)})
    return str(folder / "store")


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_gives_examples(burnish, command):
    for args in (("--help",), (command, "--help")):
        code, out, err = burnish(*args)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
        assert "..." not in out.partition("Commands:")[2]
    assert f"  burnish {command}" in burnish("--help")[1] + out


def test_the_bare_command_shows_its_help(burnish):
    assert burnish() == burnish("--help")


def test_help_imports_nothing_that_takes_long():
    heavy = {"prefect", "torch", "transformers", "datasets", "duckdb", "polars", "pyarrow", "pydantic", "rich"}
    code = f"import sys, synth, flows.cli; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_recipes_lists_and_describes(burnish):
    code, out, _ = burnish("recipes")
    assert code == 0
    assert "constitutional_ai" in out
    code, out, _ = burnish("recipes", "ilf")
    assert code == 0
    assert "arXiv 2303.16755" in out
    assert "max_resamples" in out


# Mistakes: one line on stderr and exit code 2, before any model is loaded


@pytest.fixture
def files():
    """Files and folders that are wrong in one way each."""
    Path("p.jsonl").write_text('{"prompt": "Add 1 and 2."}\n')
    Path("latin.toml").write_bytes(b'recipes = ["ilf\xff"]')
    Path("open.toml").write_text('recipes = ["ilf"')
    Path("typo.toml").write_text('recipes = ["ilf"]\nstore = "s"\nwindoww = 3\n')
    Path("window.toml").write_text('recipes = ["ilf"]\nstore = "s"\nprompts = "p.jsonl"\nwindow = 0\n')
    Path("flat.toml").write_text('recipes = ["ilf"]\nstore = "s"\nsettings = 3\n')
    Path("cut.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")
    Path("bad.yaml").write_text("id: [open\n")
    Path("newer").mkdir()
    Path("newer/burnish.json").write_text('{"format": 99}')
    Path("full").mkdir()
    Path("full/letter.txt").write_text("Dear")


RUN = ("run", "ilf", "--prompts", "p.jsonl", "--store", "s")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("runn",), "no command 'runn'; did you mean 'run'?"),
        (("--verzion",), "no option '--verzion'; did you mean '--version'?"),
        (("run",), "no recipes given; add ilf, see `burnish run --help`"),
        (("run", "ilf"), "no store given; add --store DIR"),
        ((*RUN, "--modle", "pocket"), "no option '--modle'; did you mean '--model'?"),
        (("run", "ilff", *RUN[2:]), "recipe 'ilff' not found; did you mean 'ilf'?"),
        ((*RUN, "--model", "crtic=pocket"), "role 'crtic' is not used by ilf; did you mean 'critic'?"),
        ((*RUN, "--model", "poket"), "model 'poket' not understood: did you mean 'pocket'?"),
        ((*RUN, "--model", "hf:./gone"), "'./gone'"),
        ((*RUN, "--set", "ilf.refinement=3"), "ilf has no setting 'refinement'; did you mean 'refinements'?"),
        ((*RUN, "--set", "ilf.refinements=0"), "ilf.refinements: input should be greater than or equal to 1, got 0"),
        ((*RUN, "--set", "ilf.refinements=few"), "ilf.refinements: input should be a valid integer"),
        ((*RUN, "--set", "refinements=3"), "--set expects RECIPE.FIELD=VALUE, got 'refinements=3'"),
        ((*RUN, "--set", "ilf.refinements"), "--set expects RECIPE.FIELD=VALUE, got 'ilf.refinements'"),
        ((*RUN, "--field", "promt=text"), "a prompt has no field 'promt'; did you mean 'prompt'?"),
        ((*RUN, "--field", "prompt=promt"), "no column 'promt' for 'prompt'; did you mean 'prompt'?"),
        ((*RUN, "--limit", "0"), "invalid value for '--limit': 0 is not in the range x>=1"),
        ((*RUN, "--seed", "99999999999999999999"), "seed: input should be less than 9223372036854775808"),
        ((*RUN, "--max-reject-share", "1.5"), "invalid value for '--max-reject-share': 1.5 is not in the range"),
        (("run", "constitutional_ai", *RUN[2:], "--constitution", "generl"), "did you mean 'general'?"),
        (("run", "constitutional_ai", *RUN[2:], "--constitution", "bad.yaml"), "cannot read constitution 'bad.yaml'"),
        (("run", "ilf", "--prompts", "q.jsonl", "--store", "s"), "'q.jsonl' not found; did you mean 'p.jsonl'?"),
        (("run", "ilf", "--prompts", "cut.jsonl.gz", "--store", "s"), "prompts 'cut.jsonl.gz' cannot be read"),
        ((*RUN[:4], "--store", "p.jsonl"), "cannot write the store 'p.jsonl'"),
        ((*RUN[:4], "--store", "/proc/none"), "cannot write the store '/proc/none'"),
        ((*RUN[:4], "--store", "full"), "'full' is not empty and not a store; name a new folder"),
        ((*RUN[:4], "--store", "newer"), "store 'newer' has format 99, this Burnish reads up to 1; upgrade Burnish"),
        ((*RUN, "--prompt-pack", "none.yaml"), "cannot read prompt pack 'none.yaml'"),
        (("run", "--config", "none.toml"), "cannot read --config 'none.toml': No such file or directory"),
        (("run", "--config", "latin.toml"), "cannot read --config 'latin.toml': 'utf-8' codec"),
        (("run", "--config", "open.toml"), "cannot read --config 'open.toml': Unclosed array"),
        (("run", "--config", "typo.toml"), "a run has no setting 'windoww'; did you mean 'window'?"),
        (("run", "--config", "window.toml"), "window: input should be greater than or equal to 1, got 0"),
        (("run", "--config", "flat.toml"), "settings: input should be a valid dictionary, got 3"),
        (("recipes", "ifl"), "recipe 'ifl' not found; did you mean 'ilf'?"),
        (("recipes", "ilf", "more"), "got unexpected extra argument (more)"),
        (("sql",), "QUERY is missing; see `burnish sql --help`"),
        (("sql", "SELECT 1"), "--store is missing; see `burnish sql --help`"),
        (("sql", "SELECT 1", "--store", "none"), "no store at 'none'; `burnish run … --store none` makes one"),
        (("sql", "SELECT 1", "--store", "newer"), "store 'newer' has format 99"),
        (("sql", "SELECT 1", "--store", "newer", "--format", "xml"), "'xml' is not one of 'table', 'csv',"),
        (("show", "re_1", "--store", "none"), "no store at 'none'"),
        (("export", "--store", "none", "--to", "x"), "FORMAT… is missing; see `burnish export --help`"),
        (("export", "sft", "--store", "none", "--to", "x"), "no store at 'none'"),
    ],
)  # fmt: skip
def test_a_mistake_gives_one_line_and_exit_code_2(burnish, files, args, message):
    code, out, err = burnish(*args)
    assert (code, out) == (2, "")
    assert err.startswith("burnish: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert message in err


def test_a_model_that_cannot_be_used_is_refused(burnish, files):
    shutil.copytree(data_dir() / "pocket", "mute", ignore=shutil.ignore_patterns("chat_template*"))
    code, _, err = burnish(*RUN, "--model", "hf:./mute")
    assert code == 2
    assert err == "burnish: model 'hf:./mute' has no chat template; use an instruction-tuned model\n"
    shutil.copytree(data_dir() / "pocket", "damaged")
    Path("damaged/model.safetensors").write_bytes(b"x" * 1000)
    code, _, err = burnish(*RUN, "--model", "hf:./damaged")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("burnish: cannot load model 'hf:./damaged': ")


def test_an_installed_command_ends_with_the_same_code_and_line(files):
    done = subprocess.run([BURNISH, "recipes", "ilff"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "burnish: recipe 'ilff' not found; did you mean 'ilf'?\n"


def test_messages_are_one_line_without_escapes_whatever_is_in_them(burnish):
    code, _, err = burnish("recipes", "\x1b[31mred\nline\x07")
    assert code == 2
    assert err.count("\n") == 1
    assert "\x1b" not in err
    code, _, err = burnish("sql", "SELECT 1", "--store", "a\x1b[31m\nb")
    assert code == 2
    assert err.count("\n") == 1
    assert "\x1b" not in err


# Runs that need no model


def shown_run(burnish, store: str) -> tuple[str, str]:
    """The id of a store's only run, and what `burnish show` prints of it."""
    [[run_id]] = Store(store).sql("SELECT id FROM runs").rows()
    code, out, _ = burnish("show", run_id, "--store", store)
    assert code == 0
    return run_id, out


def test_settings_are_json_or_else_text_and_a_shown_run_can_be_run_again(burnish):
    settings = {"min_p_chosen": "0.75", "sources": '["ranking", "score"]', "paraphrase": "true"}
    given = [arg for name, value in settings.items() for arg in ("--set", f"chain_of_hindsight.{name}={value}")]
    code, out, _ = burnish("run", "chain_of_hindsight", "--store", "s", "--seed", "7", *given)
    assert code == 0
    run_id, text = shown_run(burnish, "s")
    assert f"Run {run_id}" in out
    meant = {"min_p_chosen": 0.75, "sources": ["ranking", "score"], "paraphrase": True}
    assert tomllib.loads(text)["settings"] == {"chain_of_hindsight": meant}
    Path("run.toml").write_text(text)
    assert burnish("run", "--config", "run.toml", "--store", "other")[0] == 0
    assert shown_run(burnish, "other")[0] == run_id
    assert burnish("run", "--config", "run.toml")[0] == 0
    assert shown_run(burnish, "s")[0] == run_id


def test_options_go_before_the_configuration_file_table_by_table(burnish):
    Path("run.toml").write_text(
        """
        recipes = ["chain_of_hindsight"]
        store = "s"
        seed = 1
        [settings.chain_of_hindsight]
        paraphrase = true
        min_p_chosen = 0.6
        """
    )
    assert burnish("run", "--config", "run.toml", "--set", "chain_of_hindsight.min_p_chosen=0.9", "--seed", "2")[0] == 0
    config = tomllib.loads(shown_run(burnish, "s")[1])
    assert config["seed"] == 2
    assert config["settings"]["chain_of_hindsight"] == {"paraphrase": True, "min_p_chosen": 0.9}


# Questions to a store


def test_an_answer_in_each_format(burnish, store):
    query = "SELECT id, call_ids, 1.5 AS number, NULL AS nothing FROM drafts ORDER BY id"
    expected = Store(store).sql("SELECT id, call_ids FROM drafts ORDER BY id").rows()
    code, out, _ = burnish("sql", query, "--store", store)
    assert code == 0
    assert "NULL" in out
    assert out.endswith("3 rows\n")

    rows = [json.loads(line) for line in burnish("sql", query, "--store", store, "--format", "json")[1].splitlines()]
    assert [(row["id"], row["call_ids"]) for row in rows] == expected
    assert (rows[0]["number"], rows[0]["nothing"]) == (1.5, None)

    rows = list(csv.DictReader(io.StringIO(burnish("sql", query, "--store", store, "--format", "csv")[1])))
    assert [(row["id"], json.loads(row["call_ids"])) for row in rows] == expected
    assert (rows[0]["number"], rows[0]["nothing"]) == ("1.5", "")

    assert burnish("sql", query, "--store", store, "--out", "answer.parquet") == (0, "", "")
    rows = pq.read_table("answer.parquet").to_pylist()
    assert [(row["id"], row["call_ids"]) for row in rows] == expected


@pytest.mark.parametrize("name", ["answer.csv", "answer.jsonl", "answer.parquet", "it's.csv"])
def test_out_says_the_format_by_its_name(burnish, store, name):
    assert burnish("sql", "SELECT segments FROM chains", "--store", store, "--out", name) == (0, "", "")
    counted = burnish("sql", f"SELECT count(*) AS n FROM '{name.replace(chr(39), chr(39) * 2)}'", "--store", store)
    assert str(Store(store).sql("SELECT count(*) FROM chains").item()) in counted[1].splitlines()[2]


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_an_empty_answer_is_an_answer(burnish, store, format):
    code, out, err = burnish("sql", "SELECT id, segments FROM chains WHERE false", "--store", store, "--format", format)
    assert (code, err) == (0, "")
    shown = {"table": ["id", "segments", "─" * 13, "0", "rows"], "csv": ["id,segments"], "json": []}
    assert out.split() == shown[format]


@pytest.mark.parametrize("format", ["csv", "json"])
def test_every_type_of_column_can_be_written(burnish, store, format):
    query = """
        SELECT DATE '2020-01-01' AS d, 1.5::DECIMAL(5, 2) AS x, 'a'::BLOB AS b, MAP {'a': 1} AS m, INTERVAL 1 DAY AS i,
               [DATE '2020-01-01'] AS "a list", {'a': 'é'} AS s, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS t
    """
    code, out, _ = burnish("sql", query, "--store", store, "--format", format)
    assert code == 0
    assert "2020-01-01" in out
    assert "é" in out


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", 'DuckDB: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT nope FROM prompts", 'DuckDB: Binder Error: Referenced column "nope" not found'),
        ("SELECT * FROM prompt", 'Did you mean "prompts"?'),
        ("SELECT * FROM query", "Table with name query does not exist"),
        ("SELECT 'x'::INT", "DuckDB: Conversion Error"),
        ("", "expected a query that answers with rows, got ''"),
        ("/* nothing */", "expected a query that answers with rows"),
    ],
)
@pytest.mark.parametrize("format", ["table", "csv"])
def test_a_query_that_duckdb_refuses_gives_one_line(burnish, store, query, message, format):
    code, out, err = burnish("sql", query, "--store", store, "--format", format)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "LINE 1" not in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--format", "parquet"), "--format parquet needs --out FILE"),
        (("--out", "answer.txt"), "--out 'answer.txt' needs --format csv, json or parquet, or a name that ends so"),
        (("--out", "/proc/none/answer.csv"), "No such file or directory"),
    ],
)
def test_an_answer_with_nowhere_to_go_is_refused(burnish, store, args, message):
    code, _, err = burnish("sql", "SELECT 1", "--store", store, *args)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(store):
    query = f"{BURNISH} sql 'FROM range(200000)' --store {store} --format csv | head -1"
    done = subprocess.run(query, shell=True, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("range\n", "")


def test_show_tells_where_a_row_comes_from(burnish, store):
    [[id, prompt_id, call_id]] = Store(store).sql("SELECT id, prompt_id, call_ids[1] FROM drafts LIMIT 1").rows()
    code, out, _ = burnish("show", id, "--store", store)
    assert code == 0
    assert out.startswith(f"response {id}")
    assert f"prompt {prompt_id}" in out
    assert f"call {call_id}" in out


def test_export_writes_datasets_and_says_where(burnish, store):
    code, out, _ = burnish("export", "sft", "preference", "--store", store, "--to", "dataset")
    assert code == 0
    for line, name in zip(out.splitlines(), ("sft", "preference"), strict=True):
        assert int(line.split()[0]) == pq.read_table(f"dataset/{name}").num_rows
    code, _, err = burnish("export", "sft", "--store", store, "--to", "dataset", "--where", "nope > 1")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = burnish("export", "stf", "--store", store, "--to", "dataset")
    assert code == 2
    assert "did you mean 'sft'?" in err


# Runs on the pocket model, stopped in every way and gone on with


def test_bad_lines_are_rejects_and_too_many_of_them_end_in_exit_code_1(burnish):
    Path("p.jsonl").write_text('{"prompt": "Add 12 and 7."}\nnot json\n{"prompt": ""}\n')
    small = ("--set", "ilf.refinements=1", "--set", "ilf.selection=random", "--set", "ilf.max_resamples=0")
    code, out, err = burnish(*RUN, *small)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("burnish: 2 of 3 items were rejected, the bound is 20%; see `SELECT reason,")
    assert "3 of 3 items" in err
    code, out, err = burnish(*RUN, *small, "--max-reject-share", "0.9")
    assert code == 0
    assert "3 of 3 items, 0 calls, 0 from the log" in err
    assert "Rejects: 1 empty_prompt, 1 malformed (2 lines of the input among them)" in out


CONFIG = """
recipes = ["ilf"]
prompts = "prompts.txt"
store = "store"
window = {window}
[settings.ilf]
selection = "random"
refinements = 2
max_resamples = 0
max_tokens = 24
critique_max_tokens = 48
"""
TABLES = ("prompts", "responses", "critiques", "judgments", "items", "rejects", "calls")


def write_work(folder: Path, window: int) -> None:
    lines = [f"Add {number % 50 + 10} and {number * 7 % 83}.\n" for number in range(150)]
    (folder / "prompts.txt").write_text("".join(lines))
    (folder / "run.toml").write_text(CONFIG.format(window=window))


def ids(store: Path) -> dict[str, set[str]]:
    return {table: set(Store(store).sql(f"SELECT id FROM {table}")["id"]) for table in TABLES}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The ids of what the work leads to when nothing comes between."""
    folder = tmp_path_factory.mktemp("whole")
    write_work(folder, window=150)
    config = tomllib.loads((folder / "run.toml").read_text())
    config |= {"prompts": str(folder / "prompts.txt"), "store": str(folder / "store")}
    run(RunConfig(**config))
    return ids(folder / "store")


class Started:
    """`burnish run` as a process of its own, in the current folder."""

    def __init__(self) -> None:
        self.stderr = Path("stderr.txt")
        with self.stderr.open("w") as file:
            self.process = subprocess.Popen(
                [BURNISH, "run", "--config", "run.toml"], stdout=subprocess.PIPE, stderr=file, text=True
            )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert self.process.poll() is None, self.stderr.read_text()
            assert time.monotonic() < deadline, self.stderr.read_text()
            time.sleep(0.2)

    def end(self) -> tuple[int, str, str]:
        out, _ = self.process.communicate(timeout=120)
        return self.process.returncode, out, self.stderr.read_text()


def calls_logged() -> int:
    """Asked as `burnish sql` asks, while the run writes."""
    if not Path("store/burnish.json").exists():
        return 0
    return int(Store("store").sql("SELECT count(*) FROM calls").item())


@pytest.mark.parametrize("how", ["once", "twice", "killed"])
def test_a_run_that_was_stopped_goes_on_where_it_was(uninterrupted, how):
    write_work(Path.cwd(), window=150 if how == "twice" else 16)
    started = Started()
    started.wait_until(lambda: calls_logged() >= 20)
    if how == "killed":
        started.process.kill()
    else:
        started.process.send_signal(signal.SIGINT)
    if how == "twice":
        started.wait_until(lambda: "again to stop now" in started.stderr.read_text())
        started.process.send_signal(signal.SIGINT)
    code, out, err = started.end()
    assert code == {"once": 130, "twice": 130, "killed": -signal.SIGKILL}[how]
    assert "Traceback" not in err
    assert out == ""
    last = err.splitlines()[-1] if how != "killed" else ""
    cleanly, at_once = (
        "burnish: stopped; run the same command again to go on",
        "burnish: stopped at once; the same command again goes on",
    )
    # The second signal may find the run already stopped by the first.
    assert last in {"once": {cleanly}, "twice": {at_once, cleanly}, "killed": {""}}[how]

    paid = ids(Path("store"))["calls"]
    assert 20 <= len(paid) < len(uninterrupted["calls"])
    code, out, err = Started().end()
    assert code == 0, err
    assert ids(Path("store")) == uninterrupted
    [[rows, distinct]] = Store("store").sql("SELECT count(*), count(DISTINCT id) FROM calls").rows()
    assert rows == distinct == len(uninterrupted["calls"])
    assert f"{rows - len(paid):,} calls made, " in out
    assert Store("store").sql("SELECT status FROM runs").rows() == [("done",)]
