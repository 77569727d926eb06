"""What the terminal shows: numbers that add up, tables that fit, and model text that stays text."""

import json
import re
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from flows import display, progress, tree
from schemas import RunConfig
from synth import catalogue
from synth.engines.scripted import ScriptedEngine
from synth.lineage import trace
from synth.session import Session, run

HOSTILE = "[red]red[/red] [link=x]y \x1b[31mESC\x1b]0;title\x07 \x9b31m \u202eback :smile: {x}"


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns with all its colours; its text is what was written to it."""
    file = StringIO()
    console = Console(
        file=file, force_terminal=True, color_system="truecolor", width=80, highlight=False, markup=False, emoji=False
    )
    for module in (display, tree):
        monkeypatch.setattr(module, "console", console)
    return file


def hostile(request, seed):
    if request.__class__.__name__ == "Choose":
        return (0.2, 0.8)
    return f"{HOSTILE} {seed}"


def configured(folder, lines, **settings):
    (folder / "prompts.jsonl").write_text("".join(f"{line}\n" for line in lines))
    defaults = {"recipes": ("ilf",), "prompts": str(folder / "prompts.jsonl"), "store": str(folder / "store")}
    return RunConfig(**{**defaults, **settings})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Made by every recipe, of two prompts, by a model that tries to take over the terminal."""
    folder = tmp_path_factory.mktemp("display")
    recipes = ("ilf", "constitutional_ai", "chain_of_hindsight")
    config = configured(folder, ['{"prompt": "[bold]one"}', '{"prompt": "two :smile:"}'], recipes=recipes)
    return run(config, {"default": ScriptedEngine(hostile)}).store


def is_inert(text):
    """Every escape sequence is rich's own: colours and styles, none of them red, and the markup still to be read."""
    assert "\x1b[31m" not in text
    assert "\x1b]" not in text
    assert not set(text) & set("\x07\x9b\u202e")
    return "[red]" in text and ":smile:" in text


def test_control_characters_are_made_visible_and_line_ends_kept():
    assert str(display.inert("a\tb\nc\r\nd\re\x1b[0m\x00\x7f\u2066\ud800")) == "a\tb\nc\nd�e�[0m����"


def test_model_text_is_inert_wherever_it_is_shown(terminal, store):
    [[prompt_id]] = store.sql("SELECT id FROM prompts WHERE contains(messages[1].content, 'two')").rows()
    display.show_example(store, prompt_id)
    assert is_inert(terminal.getvalue())
    answer = store.connect().execute('SELECT text, [text] AS texts, text AS "[red]\x1b[31m" FROM drafts')
    display.show_rows([column[0] for column in answer.description], answer.fetchall())
    assert is_inert(terminal.getvalue())
    for table in ("responses", "critiques", "chains", "calls", "judgments"):
        [[id]] = store.sql(f"SELECT id FROM {table} ORDER BY id LIMIT 1").rows()
        terminal.truncate(0)
        tree.show_lineage(trace(store, id))
        assert is_inert(terminal.getvalue())


def test_an_example_tells_the_whole_story_and_marks_the_chosen_refinement(terminal, store):
    [[prompt_id]] = store.sql("SELECT id FROM prompts ORDER BY id LIMIT 1").rows()
    display.show_example(store, prompt_id)
    text = terminal.getvalue()
    for part in ("user: ", "draft 1", "critique", "refinement 5", "p(follows_feedback)", "by principle", "(A)"):
        assert part in text
    assert text.count("◀ chosen") == 1
    assert "chain_of_hindsight" in text


def test_a_lineage_names_a_row_met_again_without_repeating_it(terminal, store):
    [[id]] = store.sql("SELECT id FROM judgments WHERE kind = 'label' ORDER BY id LIMIT 1").rows()
    tree.show_lineage(trace(store, id))
    prompt_id = trace(store, id).row["prompt_id"]
    lines = [line for line in terminal.getvalue().splitlines() if prompt_id in line]
    assert len(lines) > 1
    assert all("(above)" in line for line in lines[1:])
    assert re.search(r"p\((Yes|True)\) 0\.2,\s+p\((No|False)\) 0\.8", terminal.getvalue())


def test_a_summary_counts_what_the_store_holds(terminal, store):
    [[run_id]] = store.sql("SELECT id FROM runs").rows()
    display.show_summary(store, run_id)
    rows = {cells[0]: cells[1:] for line in terminal.getvalue().splitlines() if (cells := line.split())}
    assert rows["items"][:2] == ["2", "2"]
    for table in ("drafts", "refinements", "judgments", "preferences", "chains"):
        total = sum(int(cell.replace(",", "")) for cell in rows[table])
        assert total == store.sql(f"SELECT count(*) FROM {table}").item(), table
    assert "rejects" not in rows


def test_progress_adds_up_with_bad_lines_duplicates_and_what_was_done_before(tmp_path, terminal):
    lines = [json.dumps({"prompt": f"q{number}"}) for number in range(7)]
    config = configured(tmp_path, [*lines, "not json", '{"prompt": ""}', lines[0]], shard_size=4, max_reject_share=1)
    for expected in ("9 of 9 items, 224 calls, 0 from the log", "9 of 9 items, 0 calls, 0 from the log"):
        with Session(config, {"default": ScriptedEngine(hostile)}) as session:
            for shard in session.shards():
                session.run_shard(shard)
                done, total = progress._ended(session)
                assert done == total == session.outcome.done + session.outcome.rejected
        line = progress._line(session)
        assert line.startswith(expected)
        assert "2 rejects, 0:00:00 left" in line
    display.show_summary(session.store, session.run_id)
    assert "1 prompt left out as duplicates" in terminal.getvalue()
    assert "Rejects: 1 empty_prompt, 1 malformed (2 lines of the input among them)" in terminal.getvalue()


def session_at(done, jobs, finished_before=0, seconds=10.0, rejected=0):
    return SimpleNamespace(
        outcome=SimpleNamespace(done=done, rejected=rejected),
        progress=SimpleNamespace(jobs=jobs, finished_before=finished_before, seconds=seconds),
        log=SimpleNamespace(tally=SimpleNamespace(calls_made=1, calls_reused=0, completion_tokens=50)),
    )


@pytest.mark.parametrize(
    ("session", "line"),
    [
        (session_at(0, 10), "0 of 10 items, 1 call, 0 from the log, 5 tokens/s, 0 rejects, -:--:-- left"),
        (session_at(4, 10, rejected=1), "5 of 10 items, 1 call, 0 from the log, 5 tokens/s, 1 reject, 0:00:10 left"),
        (session_at(90, 100, finished_before=80), "90 of 100 items, .* 0:00:10 left"),
        (session_at(80, 100, finished_before=80), "80 of 100 items, .* -:--:-- left"),
        (session_at(3, 0), "3 of 3 items, .* 0:00:00 left"),
        (session_at(1, 1), "1 of 1 item, .* 0:00:00 left"),
    ],
)
def test_the_time_left_counts_only_what_was_ended_now(session, line):
    assert re.fullmatch(line, progress._line(session))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_live_or_line_by_line(monkeypatch, is_terminal):
    file = StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "console", Console(file=file, force_terminal=is_terminal, width=80, highlight=False))
    with progress.watch(session_at(4, 1000, rejected=1)):
        pass
    assert "5 of 1,000 items" in file.getvalue()
    assert "1 call, 0 from the log, 5 tokens/s, 1 reject" in file.getvalue()
    assert ("\x1b[?25h" in file.getvalue()) == is_terminal  # the cursor is back


def test_columns_that_do_not_fit_stand_below_each_other(terminal):
    display.show_rows([f"column_{number}" for number in range(12)], [tuple(range(12))])
    lines = terminal.getvalue().splitlines()
    assert "row 1" in lines[0]
    assert len(lines) == 14
    terminal.truncate(0)
    display.show_rows(["a", "b"], [(1, None), (0.123456, "x" * 1000)], more=True)
    text = terminal.getvalue()
    assert "NULL" in text
    assert "0.1235" in text
    assert "… (1,000 characters)" in text
    assert "the first 2 rows; `--format csv`" in text


@pytest.mark.parametrize("name", catalogue.names())
def test_a_recipe_is_described_within_80_columns(monkeypatch, name):
    file = StringIO()
    monkeypatch.setattr(
        display, "console", Console(file=file, force_terminal=False, width=80, highlight=False, markup=False)
    )
    recipe = catalogue.load(name)
    display.show_recipe(recipe)
    display.show_recipes([recipe])
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first_words = [line.split()[0] for line in lines if line.strip()]
    assert set(recipe.config.model_fields) <= set(first_words)
    assert f"--set {name}.SETTING=VALUE" in file.getvalue()
