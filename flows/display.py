"""What a run, a dataset and a record look like in a terminal. Model text is shown as text: no markup, no escapes."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from synth.catalogue import Recipe
from synth.lineage import Node
from synth.session import Session
from synth.store import Store

console = Console(highlight=False)
PLAIN_EVERY_S = 5.0
_controls = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Columns that say where a row comes from rather than what it is; the tree shows them as its branches.
_HIDDEN = {"id", "prompt_id", "item_id", "work_id", "run_id", "table", "request"}


def inert(value: object, style: str = "") -> Text:
    """Any text, with control characters made visible instead of obeyed."""
    return Text(_controls.sub("�", str(value)), style=style)


@contextmanager
def watch(session: Session) -> Iterator[None]:
    """Show a session's progress while it runs: live in a terminal, a line every few seconds elsewhere."""
    if not console.is_terminal:
        with _lines(session):
            yield
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
    )
    task = progress.add_task("items × recipes", total=None, figures="")
    with progress, _repeat(0.25, lambda: progress.update(task, **_state(session))):
        yield
    progress.update(task, **_state(session))


def _state(session: Session) -> dict[str, Any]:
    outcome = session.outcome
    return {
        "total": session.progress.jobs or None,
        "completed": outcome.done + outcome.rejected,
        "figures": _figures(session),
    }


def _figures(session: Session) -> str:
    tally = session.log.tally
    rate = tally.completion_tokens / max(session.progress.seconds, 1e-9)
    return (
        f"{tally.calls_made:,} calls · {tally.calls_reused:,} reused · {rate:,.0f} tokens/s · "
        f"{session.outcome.rejected:,} rejects"
    )


@contextmanager
def _lines(session: Session) -> Iterator[None]:
    def line() -> None:
        state = _state(session)
        done, total = state["completed"], session.progress.jobs
        left = session.progress.seconds * (total - done) / done if done else 0.0
        print(f"{done:,}/{total:,} items × recipes · {_figures(session)} · {left:,.0f} s left", file=sys.stderr)

    with _repeat(PLAIN_EVERY_S, line):
        yield
    line()


@contextmanager
def _repeat(seconds: float, action: Any) -> Iterator[None]:
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


def show_summary(store: Store, run_id: str) -> None:
    """What one run's work has made, over all its invocations."""
    with store.connect() as connection:
        counts = connection.execute(
            """
            WITH work AS (SELECT unnest(work_ids) AS work_id FROM runs WHERE id = $run),
            rows AS (
                SELECT recipe, work_id, kind || 's' AS made FROM responses
                UNION ALL SELECT recipe, work_id, 'critiques' FROM critiques
                UNION ALL SELECT recipe, work_id, 'judgments' FROM judgments
                UNION ALL SELECT recipe, work_id, 'chains' FROM chains
                UNION ALL SELECT recipe, work_id, 'items' FROM items
                UNION ALL SELECT recipe, work_id, 'rejects' FROM rejects WHERE work_id IS NOT NULL
                UNION ALL SELECT recipe, work_id, 'preferences' FROM preferences
            )
            SELECT recipe, made, count(*) FROM rows SEMI JOIN work USING (work_id) GROUP BY ALL ORDER BY recipe
            """,
            {"run": run_id},
        ).fetchall()
        [(made, reused, duplicates, seconds)] = connection.execute(
            "SELECT calls_made, calls_reused, duplicate_prompts, seconds FROM runs WHERE id = ?", [run_id]
        ).fetchall()
        [(lines,)] = connection.execute(
            "SELECT count(*) FROM rejects WHERE run_id = ? AND work_id IS NULL", [run_id]
        ).fetchall()
    columns = ["items", "drafts", "critiques", "refinements", "judgments", "chains", "preferences", "rejects"]
    table = Table("recipe", *columns, title=f"Run {run_id}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    by_recipe: dict[str, dict[str, int]] = {}
    for recipe, what, count in counts:
        by_recipe.setdefault(recipe, {})[what] = count
    for recipe, found in by_recipe.items():
        table.add_row(recipe, *(f"{found.get(name, 0):,}" for name in columns))
    console.print(table)
    console.print(
        f"{made:,} calls made, {reused:,} answered from the log, {seconds:,.1f} s; "
        f"{duplicates:,} duplicate prompts, {lines:,} input lines rejected"
    )


def show_rows(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """The answer of a query."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*(inert(_brief(value)) for value in row))
    console.print(table)
    console.print(f"{len(rows):,} rows")


def _brief(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def show_example(store: Store, prompt_id: str) -> None:
    """Everything the recipes made of one prompt, in the order it was made."""
    with store.connect() as connection:

        def rows(query: str) -> list[dict[str, Any]]:
            return connection.sql(query, params=[prompt_id]).to_arrow_table().to_pylist()

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
        tree = Tree(Text(recipe, style="bold cyan"), guide_style="dim")
        own = [response for response in responses if response["recipe"] == recipe]
        names = _names(own)
        chosen = {j["verdict"] for j in judgments if j["kind"] == "ranking"}
        for response in own:
            branch = tree.add(_response_line(response, names, chosen, judgments, principles))
            for critique in critiques:
                if critique["response_id"] == response["id"]:
                    by = f" by principle {principles.get(critique['principle_id'])}" if critique["principle_id"] else ""
                    branch.add(Text.assemble((f"critique{by}: ", "yellow"), inert(critique["text"])))
        for judgment in judgments:
            if judgment["kind"] == "comparison" and judgment["recipe"] == recipe:
                tree.add(_comparison_line(judgment, names, principles))
        parts.append(tree)
    for chain in chains:
        line = Text.assemble(("chain_of_hindsight", "bold cyan"), (" (underlined text carries the loss)\n", "dim"))
        for segment in chain["segments"]:
            line.append_text(inert(segment["text"], "underline" if segment["loss"] else "dim"))
        parts.append(line)
    console.print(Panel(Group(*parts), title="One prompt and what was made of it", title_align="left"))


def _names(responses: list[dict[str, Any]]) -> dict[str, str]:
    """Short names for the responses of one recipe: draft, draft 2, refinement 1 …"""
    names, counts = {}, {"draft": 0, "refinement": 0}
    for response in responses:
        counts[response["kind"]] += 1
        names[response["id"]] = f"{response['kind']} {counts[response['kind']]}"
    return names


def _response_line(
    response: dict[str, Any],
    names: dict[str, str],
    chosen: set[str],
    judgments: list[dict[str, Any]],
    principles: dict[str, str],
) -> Text:
    line = Text.assemble((f"{names[response['id']]}: ", "bold"), inert(response["text"]))
    looks = [j for j in judgments if j["kind"] == "label" and j["response_ids"] == [response["id"]]]
    if looks:
        shares = ", ".join(f"{j['probabilities'][0]:.2f}" for j in looks)
        line.append(f"  p(follows the feedback): {shares}", "dim")
    if response["id"] in chosen:
        line.append("  ◀ chosen", "bold green")
    if response["noop"]:
        line.append("  (unchanged)", "dim")
    if response["principle_id"]:
        line.append(f"  [{principles.get(response['principle_id'])}]", "dim")
    return line


def _comparison_line(judgment: dict[str, Any], names: dict[str, str], principles: dict[str, str]) -> Text:
    shown = " and ".join(
        f"{option} = {names[id]} {probability:.3f}"
        for option, id, probability in zip(
            judgment["options"], judgment["response_ids"], judgment["probabilities"], strict=True
        )
    )
    principle = principles.get(judgment["principle_id"], "")
    return Text.assemble(("judgment ", "magenta"), f"by principle {principle}: {shown}")


def show_lineage(root: Node) -> None:
    """A row and everything behind it."""
    console.print(_tree(root, ""))


def _tree(node: Node, column: str) -> Tree:
    label = Text.assemble(
        (f"{column.removesuffix('_id').removesuffix('_ids')} " if column else "", "dim"), (node.row["id"], "bold")
    )
    tree = Tree(Group(label, *_fields(node)), guide_style="dim")
    for name, source in node.sources:
        tree.children.append(_tree(source, name))
    return tree


def _fields(node: Node) -> Iterator[Text]:
    for name, value in node.row.items():
        if name in _HIDDEN or value in (None, [], ""):
            continue
        if name.endswith(("_id", "_ids")):
            continue
        yield Text.assemble((f"  {name}: ", "cyan"), inert(_brief(value)))
    if request := node.row.get("request"):
        for message in json.loads(request).get("messages", []):
            yield Text.assemble((f"  {message['role']}: ", "green"), inert(message["content"]))


def show_recipes(recipes: list[Recipe]) -> None:
    """The catalogue, a line each."""
    table = Table("recipe", "reads", "what it does")
    for recipe in recipes:
        table.add_row(recipe.name, recipe.reads.partition(" ")[0].strip(",;"), recipe.summary)
    console.print(table)


def show_recipe(recipe: Recipe) -> None:
    """One recipe as its file describes it, with the settings it has."""
    console.print(Text(recipe.name, style="bold cyan"), Text(recipe.summary))
    for name in ("paper", "reads", "writes", "differs"):
        console.print(Text.assemble((f"  {name}: ", "bold"), getattr(recipe, name)))
    console.print(Text.assemble(("  roles: ", "bold"), ", ".join(recipe.roles) or "none"))
    table = Table("setting", "default", "meaning")
    for name, info in recipe.config.model_fields.items():
        default = "required" if info.is_required() else inert(_shorten(_brief(info.default)))
        table.add_row(f"{recipe.name}.{name}", default, info.description)
    console.print(table)


def _shorten(value: object, limit: int = 60) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
