"""What a run, a table and a prompt look like in a terminal. Model text is shown as text: no markup, no escapes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from synth.catalogue import Recipe
    from synth.session import Session
    from synth.store import Store

console = Console(highlight=False, markup=False, emoji=False)
# Progress goes to stderr, so that what is asked for can be piped.
progress_console = Console(highlight=False, markup=False, emoji=False, stderr=True)
LIVE_PER_S = 4
PLAIN_EVERY_S = 5.0
CELL_CHARACTERS = 400
# Control characters, and those that turn the direction of text around.
_controls = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def inert(value: object, style: str = "") -> Text:
    """Any text, with control characters made visible instead of obeyed."""
    return Text(_controls.sub("\ufffd", str(value)).replace("\r\n", "\n"), style=style)


def plural(count: int, noun: str) -> str:
    """1 row, 2 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def plain_table(*headers: str, title: str | None = None) -> Table:
    """The look that all tables share; texts in it are wrapped, never cut."""
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title=title, title_justify="left", title_style="bold"
    )
    for header in headers:
        table.add_column(inert(header), overflow="fold")
    return table


# Progress


@contextmanager
def loading(what: str) -> Iterator[None]:
    """A sign of life in a terminal while something takes seconds and has no steps to count."""
    with progress_console.status(Text(what)):
        yield


@contextmanager
def watch(session: Session) -> Iterator[None]:
    """Show a session's progress while it runs: live in a terminal, a line every few seconds elsewhere."""
    if progress_console.is_terminal and not progress_console.is_dumb_terminal:
        with Live(get_renderable=lambda: _live(session), console=progress_console, refresh_per_second=LIVE_PER_S):
            yield
    else:
        with _repeated(PLAIN_EVERY_S, lambda: progress_console.print(_line(session), soft_wrap=True)):
            yield


def _live(session: Session) -> RenderableType:
    done, total = _ended(session)
    bar = ProgressBar(total=max(total, 1), completed=done, width=24)
    line = Table.grid(padding=(0, 1))
    line.add_row(bar, Text(f"{_items(session)}, {_clock(session.progress.seconds)}, {_left(session)}"))
    return Group(line, Text(_figures(session), "dim"))


def _line(session: Session) -> str:
    return f"{_items(session)}, {_figures(session)}, {_left(session)}"


def _ended(session: Session) -> tuple[int, int]:
    """Items ended and known, counted once per recipe as in the table `items`, with the rejected lines of the input."""
    done = session.outcome.done + session.outcome.rejected
    return done, max(session.progress.jobs, done)


def _items(session: Session) -> str:
    done, total = _ended(session)
    return f"{done:,} of {plural(total, 'item')}"


def _left(session: Session) -> str:
    """Time left for the items known so far, at the pace of those that this invocation has ended."""
    done, total = _ended(session)
    ended_now = done - session.progress.finished_before
    if done == total:
        return "0:00:00 left"
    return f"{_clock(session.progress.seconds * (total - done) / ended_now)} left" if ended_now > 0 else "-:--:-- left"


def _figures(session: Session) -> str:
    tally = session.log.tally
    rate = tally.completion_tokens / max(session.progress.seconds, 1e-9)
    return (
        f"{plural(tally.calls_made, 'call')}, {tally.calls_reused:,} from the log, {rate:,.0f} tokens/s, "
        f"{plural(session.outcome.rejected, 'reject')}"
    )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


@contextmanager
def _repeated(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do it every so many seconds, and once more at the end."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        action()


# What was made

_MADE = """
WITH work AS (SELECT unnest(work_ids) AS work_id FROM runs WHERE id = $run),
     made AS (
    SELECT recipe, work_id, 'items' AS kind FROM items
    UNION ALL SELECT recipe, work_id, kind || 's' FROM responses
    UNION ALL SELECT recipe, work_id, 'critiques' FROM critiques
    UNION ALL SELECT recipe, work_id, 'judgments' FROM judgments
    UNION ALL SELECT recipe, work_id, 'preferences' FROM preferences
    UNION ALL SELECT recipe, work_id, 'chains' FROM chains
    UNION ALL SELECT recipe, work_id, 'rejects' FROM rejects WHERE work_id IS NOT NULL
)
SELECT recipe, kind, count(*) FROM made SEMI JOIN work USING (work_id) GROUP BY ALL
"""
_KINDS = ("items", "drafts", "critiques", "refinements", "judgments", "preferences", "chains", "rejects")
_REASONS = """
WITH work AS (SELECT unnest(work_ids) AS work_id FROM runs WHERE id = $run)
SELECT reason, count(*) AS count FROM rejects
WHERE work_id IN (FROM work) OR (work_id IS NULL AND run_id = $run) GROUP BY reason ORDER BY count DESC, reason
"""
_RUN = """
SELECT r.config->>'$.recipes' AS recipes, calls_made, calls_reused, seconds, duplicate_prompts,
       (SELECT count(*) FROM rejects WHERE run_id = r.id AND work_id IS NULL) AS lines
FROM runs r WHERE id = $run
"""


def show_summary(store: Store, run_id: str) -> None:
    """What one run's work has made, over all its invocations."""
    with store.connect() as connection:
        counts = {(recipe, kind): n for recipe, kind, n in connection.execute(_MADE, {"run": run_id}).fetchall()}
        reasons = connection.execute(_REASONS, {"run": run_id}).fetchall()
        [(names, made, reused, seconds, duplicates, lines)] = connection.execute(_RUN, {"run": run_id}).fetchall()
    recipes = json.loads(names)
    table = plain_table("", *recipes, title=f"Run {run_id}")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in _KINDS:
        found = [counts.get((recipe, kind), 0) for recipe in recipes]
        if any(found):
            table.add_row(kind, *(f"{count:,}" for count in found))
    console.print(table)
    console.print(f"{plural(made, 'call')} made, {reused:,} answered from the log, {seconds:,.1f} s")
    if duplicates:
        console.print(f"{plural(duplicates, 'prompt')} left out as duplicates")
    if reasons:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in reasons)
        console.print(f"Rejects: {listed} ({plural(lines, 'line')} of the input among them)" if lines else listed)


def show_rows(columns: Sequence[str], rows: Sequence[tuple[Any, ...]], more: bool = False) -> None:
    """The answer of a query: as a table if the terminal is wide enough for its columns, else value under value."""
    cells = [[_cell(value) for value in row] for row in rows]
    if _fits(columns, cells):
        table = plain_table(*columns)
        for index, column in enumerate(table.columns):
            is_number = [isinstance(row[index], int | float) and not isinstance(row[index], bool) for row in rows]
            column.justify = "right" if any(is_number) else "left"
        for row in cells:
            table.add_row(*row)
        console.print(table)
    else:
        for number, row in enumerate(cells, 1):
            grid = Table.grid(padding=(0, 2))
            for name, cell in zip(columns, row, strict=True):
                cell.overflow = "fold"
                grid.add_row(inert(name, "cyan"), cell)
            console.print(Text(f"row {number:,}", "bold"), grid)
    if more:
        console.print(f"the first {plural(len(rows), 'row')}; `--format csv`, `json` or `parquet` gives all")
    else:
        console.print(plural(len(rows), "row"))


def _fits(columns: Sequence[str], cells: list[list[Text]]) -> bool:
    """Whether each column gets the width of its header and of an id, or of a few words."""
    widths = [len(name) for name in columns]
    for row in cells:
        needed = [min(cell.cell_len, 16 if " " in cell.plain else 27) for cell in row]
        widths = list(map(max, widths, needed))
    return sum(widths) + 3 * (len(widths) - 1) <= console.width


def _cell(value: object) -> Text:
    if value is None:
        return Text("NULL", "dim")
    text = str(brief(value))
    return inert(text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}… ({len(text):,} characters)")


def brief(value: object) -> object:
    """A value for a person: floats to four digits, nested values as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(_rounded(value), ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def _rounded(value: object) -> object:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _rounded(one) for name, one in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


# Recipes


def show_recipes(recipes: Iterable[Recipe]) -> None:
    """The catalogue, a line each."""
    table = plain_table("recipe", "reads", "what it does")
    for recipe in recipes:
        table.add_row(recipe.name, recipe.reads.partition(" ")[0].strip(",;"), recipe.summary)
    console.print(table)
    console.print("`burnish recipes NAME` describes one with its settings")


def show_recipe(recipe: Recipe) -> None:
    """One recipe as its file describes it, with the settings it has."""
    console.print(Text(recipe.name, style="bold cyan"))
    about = Table.grid(padding=(0, 2))
    about.add_row(Text("does", "bold"), recipe.summary)
    for name in ("paper", "reads", "writes", "differs"):
        about.add_row(Text(name, "bold"), getattr(recipe, name))
    about.add_row(Text("roles", "bold"), ", ".join(recipe.roles) or "none")
    console.print(about)
    table = plain_table("setting", "default", "meaning", title=f"\nSettings: --set {recipe.name}.SETTING=VALUE")
    table.columns[0].no_wrap = True
    table.columns[1].max_width = 24
    for name, info in recipe.config.model_fields.items():
        default = "required" if info.is_required() else _shortened(_as_setting(info.default))
        meaning = info.description or ""
        if get_origin(info.annotation) is Literal:
            meaning = f"{meaning} One of {', '.join(map(str, get_args(info.annotation)))}."
        table.add_row(name, inert(default), meaning)
    console.print(table)


def _as_setting(value: object) -> str:
    """As `--set` takes it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _shortened(text: str, limit: int = 24) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


# One prompt


def show_example(store: Store, prompt_id: str) -> None:
    """Everything the recipes made of one prompt, in the order it was made."""
    with store.connect() as connection:

        def rows(query: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = connection.sql(query, params=[prompt_id]).to_arrow_table().to_pylist()
            return found

        [prompt] = rows("SELECT * FROM prompts WHERE id = ?")
        responses = rows("SELECT * FROM responses WHERE prompt_id = ? ORDER BY recipe, round, index, id")
        critiques = rows("SELECT * FROM critiques WHERE prompt_id = ? ORDER BY id")
        judgments = rows("SELECT * FROM judgments WHERE prompt_id = ? ORDER BY kind, id")
        chains = rows("SELECT * FROM chains WHERE prompt_id = ? AND template = 'worse_to_better' ORDER BY id LIMIT 1")
        principles = dict(connection.execute("SELECT id, name FROM principles").fetchall())
    parts: list[RenderableType] = []
    for message in prompt["messages"]:
        parts.append(Text.assemble((f"{message['role']}: ", "bold"), inert(message["content"])))
    if prompt["reference"]:
        parts.append(Text.assemble(("reference: ", "dim"), inert(prompt["reference"], "dim")))
    for recipe in dict.fromkeys(response["recipe"] for response in responses):
        own = [response for response in responses if response["recipe"] == recipe]
        parts.append(_recipe_tree(recipe, own, critiques, [j for j in judgments if j["recipe"] == recipe], principles))
    for chain in chains:
        line = Text.assemble(("chain_of_hindsight", "bold cyan"), (" (underlined text carries the loss)\n", "dim"))
        for segment in chain["segments"]:
            line.append_text(inert(segment["text"], "underline" if segment["loss"] else "dim"))
        parts.append(line)
    console.print(Panel(Group(*parts), title="One prompt and what was made of it", title_align="left"))


def _recipe_tree(
    recipe: str,
    responses: list[dict[str, Any]],
    critiques: list[dict[str, Any]],
    judgments: list[dict[str, Any]],
    principles: dict[str, str],
) -> Tree:
    tree = Tree(Text(recipe, style="bold cyan"), guide_style="dim")
    names = _names(responses)
    rankings = [j for j in judgments if j["kind"] == "ranking"]
    ranked = {id for ranking in rankings for id in ranking["response_ids"]}
    refined = {response["draft_id"] for response in responses}
    replaced = 0
    for response in sorted(responses, key=lambda one: one["id"] not in refined and one["draft_id"] not in refined):
        if rankings and response["kind"] == "refinement" and response["id"] not in ranked:
            replaced += 1
            continue
        branch = tree.add(_response_line(response, names, rankings, judgments, principles))
        for critique in critiques:
            if critique["response_id"] == response["id"]:
                by = f" by principle {principles.get(critique['principle_id'])}" if critique["principle_id"] else ""
                branch.add(Text.assemble((f"critique{by}: ", "yellow"), inert(critique["text"])))
    if replaced:
        tree.add(Text(f"{plural(replaced, 'other refinement')}, drawn in vain: repeated or forbidden", "dim"))
    for judgment in judgments:
        if judgment["kind"] == "comparison":
            tree.add(_comparison_line(judgment, names, principles))
    return tree


def _names(responses: list[dict[str, Any]]) -> dict[str, str]:
    """Short names for the responses of one recipe: draft 1, draft 2, refinement 1 …"""
    names, counts = {}, {"draft": 0, "refinement": 0}
    for response in responses:
        counts[response["kind"]] += 1
        names[response["id"]] = f"{response['kind']} {counts[response['kind']]}"
    return names


def _response_line(
    response: dict[str, Any],
    names: dict[str, str],
    rankings: list[dict[str, Any]],
    judgments: list[dict[str, Any]],
    principles: dict[str, str],
) -> Text:
    line = Text.assemble((f"{names[response['id']]}: ", "bold"), inert(response["text"]))
    if response["principle_id"]:
        line.append_text(inert(f"  by principle {principles.get(response['principle_id'])}", "dim"))
    if response["noop"]:
        line.append("  (unchanged)", "dim")
    looks = [j for j in judgments if j["kind"] == "label" and j["response_ids"] == [response["id"]]]
    if looks:
        shares = " ".join(f"{look['probabilities'][0]:.2f}" for look in looks)
        line.append(f"  p({looks[0]['aspect']}) {shares}", "dim")
    if any(ranking["verdict"] == response["id"] for ranking in rankings):
        line.append("  ◀ chosen", "bold green")
    return line


def _comparison_line(judgment: dict[str, Any], names: dict[str, str], principles: dict[str, str]) -> Text:
    shown = ", ".join(
        f"({option}) {names[id]} {probability:.2f}"
        for option, id, probability in zip(
            judgment["options"], judgment["response_ids"], judgment["probabilities"], strict=True
        )
    )
    principle = f" by principle {principles.get(judgment['principle_id'])}" if judgment["principle_id"] else ""
    return Text.assemble((f"judgment{principle}: ", "magenta"), shown)
