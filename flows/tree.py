"""A row with everything behind it, as a tree in the terminal; a run as TOML to run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import tomli_w
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from flows.display import brief, console, inert
from synth.lineage import Node

# Columns of free text, each on lines of its own; all others stand together on one.
_TEXTS = (
    "name", "title", "text", "thought", "reference", "critique_request", "revision_request", "rationale", "reason",
    "detail", "raw",
)  # fmt: skip
_OF_THE_ROOT = ("item_id", "work_id", "run_id", "fingerprint", "seed", "engine", "started_at")
_ELSEWHERE = ("id", "request", "messages", "segments", "options", "probabilities", "values")


def show_lineage(root: Node) -> None:
    """A row, and below it what it was made from. A row met again is named and not repeated."""
    console.print(_tree(root, root.table.removesuffix("s"), set()))


def run_as_toml(run: dict[str, Any]) -> str:
    """The configuration of a row of `runs`, as a file for `burnish run --config`."""
    config = {name: value for name, value in _without_none(json.loads(run["config"])).items() if value != {}}
    head = f"# {run['id']}, Burnish {run['version']}: {run['status']}, {run['updated_at']:%Y-%m-%d %H:%M} UTC"
    return f"{head}\n{tomli_w.dumps(config)}"


def _without_none(value: Any) -> Any:
    """TOML has no null; in a configuration it always means the default."""
    if isinstance(value, dict):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    return value


def _tree(node: Node, name: str, seen: set[str]) -> Tree:
    label = Text.assemble((f"{name} ", "dim"), (node.row["id"], "bold"))
    if node.row["id"] in seen:
        return Tree(label.append(" (above)", "dim"), guide_style="dim")
    is_root = not seen
    seen.add(node.row["id"])
    tree = Tree(Group(label, *_fields(node.row, is_root)), guide_style="dim")
    for column, source in node.sources:
        tree.children.append(_tree(source, column.removesuffix("s").removesuffix("_id"), seen))
    return tree


def _fields(row: dict[str, Any], is_root: bool) -> Iterator[RenderableType]:
    request = json.loads(row.get("request", "{}"))
    known = {name: value for name, value in row.items() if value and _is_fact(name, is_root)}
    if known.get("item_id") == row.get("prompt_id"):
        known.pop("item_id", None)
    facts = [f"{name} {_fact(value)}" for name, value in known.items()]
    if row.get("options") and row.get("probabilities"):
        facts += _each("p", row["options"], row["probabilities"])
    elif request.get("options"):
        facts += _each("log p", request["options"], row["values"])
    elif row.get("values"):
        facts.append(f"values: {len(row['values']):,}")
    if facts:
        yield _indented(inert(", ".join(facts), "dim"))
    for message in request.get("messages") or row.get("messages", []):
        yield _said(message["role"], message["content"])
    for segment in row.get("segments", []):
        yield _said(segment["kind"], segment["text"])
    for name in ("continuation", "text"):  # of `loglik` and `embed`
        if request.get(name):
            yield _said(name, request[name])
    for name in _TEXTS:
        if row.get(name):
            yield _said(name, row[name])


def _each(what: str, options: list[str], numbers: list[float]) -> list[str]:
    return [f"{what}({option}) {number:.4g}" for option, number in zip(options, numbers, strict=True)]


def _is_fact(name: str, is_root: bool) -> bool:
    if name in _OF_THE_ROOT:
        return is_root
    return name not in (*_TEXTS, *_ELSEWHERE) and not name.endswith(("_id", "_ids"))


def _fact(value: object) -> object:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else brief(value)


def _said(by: str, text: str) -> Padding:
    return _indented(Text.assemble((f"{by}: ", "cyan"), inert(text.strip("\n"))))


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))
