"""A row with everything behind it, as a tree in the terminal; a run as TOML to run again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import tomli_w
from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from flows.display import brief, console, inert
from synth.lineage import Node

# Told in another way: by the tree's branches, or beside other columns.
_UNTOLD = {"id", "request", "options", "probabilities"}


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


def _fields(row: dict[str, Any], is_root: bool) -> Iterator[Text]:
    if is_root:
        for name in ("item_id", "run_id"):
            if row.get(name) and row[name] != row.get("prompt_id"):
                yield _field(name.removesuffix("_id"), row[name])
    for message in json.loads(row["request"]).get("messages", []) if "request" in row else []:
        yield _field(message["role"], message["content"], "green")
    for name, value in row.items():
        if name in _UNTOLD or name.endswith(("_id", "_ids")) or not value:
            continue
        if name in ("messages", "segments"):
            for part in value:
                yield _field(part.get("role") or part.get("kind"), part.get("content") or part.get("text"), "green")
        else:
            yield _field(name, f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else brief(value))
    if row.get("options") and row.get("probabilities"):
        shares = zip(row["options"], row["probabilities"], strict=True)
        yield _field("probabilities", ", ".join(f"{option} {share:.4g}" for option, share in shares))


def _field(name: object, value: object, style: str = "cyan") -> Text:
    return Text.assemble((f"  {name}: ", style), inert(str(value).strip("\n")))
