"""What a run, a table and a prompt look like in a terminal. Model text is shown as text: no markup, no escapes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from synth.catalogue import Recipe
    from synth.store import Store

console = Console(highlight=False, markup=False, emoji=False)
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


def plain_table(*headers: str) -> Table:
    """The look that all tables share; texts in it are wrapped, never cut."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for header in headers:
        table.add_column(inert(header), overflow="fold")
    return table


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
    table = plain_table("", *recipes)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in _KINDS:
        found = [counts.get((recipe, kind), 0) for recipe in recipes]
        if any(found):
            table.add_row(kind, *(f"{count:,}" for count in found))
    console.print(Text(f"Run {run_id}", "bold"), table if counts else "No items: there was nothing to read")
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
    console.print(Text(f"\nSettings: --set {recipe.name}.SETTING=VALUE", "bold"))
    table = plain_table("setting", "default", "meaning")
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
        responses = rows(
            """
            SELECT * FROM responses r WHERE prompt_id = ?
            ORDER BY recipe, NOT EXISTS (FROM refinements WHERE draft_id = coalesce(r.draft_id, r.id)), round, index, id
            """
        )
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
    rankings = [judgment for judgment in judgments if judgment["kind"] == "ranking"]
    ranked = {id for ranking in rankings for id in ranking["response_ids"]}
    chosen = {ranking["verdict"] for ranking in rankings}
    in_vain = [one for one in responses if rankings and one["kind"] == "refinement" and one["id"] not in ranked]
    for response in responses:
        if response in in_vain:
            continue
        branch = tree.add(_response_line(response, names, response["id"] in chosen, principles))
        for critique in critiques:
            if critique["response_id"] == response["id"]:
                by = _by(critique["principle_id"], principles)
                branch.add(Text.assemble((f"critique{by}: ", "yellow"), inert(critique["text"])))
        labels = [j for j in judgments if j["kind"] == "label" and j["response_ids"] == [response["id"]]]
        if labels:
            shares = sorted(label["probabilities"][0] for label in labels)
            shown = f"{fmean(shares):.3f} ({' '.join(f'{share:.2f}' for share in shares)})"
            branch.add(Text.assemble((f"judged p({labels[0]['aspect']}): ", "magenta"), shown))
    if in_vain:
        tree.add(Text(f"{plural(len(in_vain), 'other refinement')}, drawn in vain: repeated or forbidden", "dim"))
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
    response: dict[str, Any], names: dict[str, str], is_chosen: bool, principles: dict[str, str]
) -> Text:
    by = _by(response["principle_id"], principles)
    line = Text.assemble((f"{names[response['id']]}{by}: ", "bold"), inert(response["text"]))
    if response["noop"]:
        line.append("  (unchanged)", "dim")
    if is_chosen:
        line.append("  ◀ chosen", "bold green")
    return line


def _comparison_line(judgment: dict[str, Any], names: dict[str, str], principles: dict[str, str]) -> Text:
    shares = zip(judgment["options"], judgment["response_ids"], judgment["probabilities"], strict=True)
    shown = ", ".join(f"({option}) {names[id]} {share:.2f}" for option, id, share in shares)
    return Text.assemble((f"judgment{_by(judgment['principle_id'], principles)}: ", "magenta"), shown)


def _by(principle_id: str | None, principles: dict[str, str]) -> str:
    return f" by principle {principles.get(principle_id)}" if principle_id else ""
