"""From any row to everything behind it: the rows it names, down to the calls and the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas import TABLES
from synth.errors import UsageError
from synth.store import Store

_TABLE_OF = {row.prefix: name for name, row in TABLES.items()}
# Columns that name rows a row was made from, in the order they are shown.
_LINKS = (
    "prompt_id", "parent_id", "response_id", "response_ids", "critique_id", "critique_ids", "principle_id",
    "principle_ids", "call_ids",
)  # fmt: skip


@dataclass
class Node:
    """A row, and the rows it was made from, by the column that names them."""

    table: str
    row: dict[str, Any]
    sources: list[tuple[str, Node]] = field(default_factory=list)


def trace(store: Store, id: str) -> Node:
    """The tree behind a row. Each row is opened once; where it is named again it stands without its own sources.

    Raises `UsageError` for an id that is not in the store.
    """
    seen: set[str] = set()
    with store.connect() as connection:

        def fetch(wanted: str) -> tuple[str, dict[str, Any]] | None:
            table = _TABLE_OF.get(wanted.partition("_")[0])
            if table is None:
                return None
            rows = (
                connection.sql(f"SELECT * FROM {table} WHERE id = ? LIMIT 1", params=[wanted])
                .to_arrow_table()
                .to_pylist()
            )
            return (table, rows[0]) if rows else None

        def grow(wanted: str) -> Node | None:
            found = fetch(wanted)
            if found is None:
                return None
            node = Node(*found)
            if wanted not in seen:
                seen.add(wanted)
                for column in _LINKS:
                    named = node.row.get(column) or []
                    for target in [named] if isinstance(named, str) else named:
                        if source := grow(target):
                            node.sources.append((column, source))
            return node

        root = grow(id)
    if root is None:
        kinds = ", ".join(f"{prefix}_… ({table})" for prefix, table in _TABLE_OF.items())
        raise UsageError(f"no row {id!r} in {str(store.path)!r}; ids begin with {kinds}")
    return root
