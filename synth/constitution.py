"""Constitutions: YAML files of principles, the project's own or the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas import Constitution, Principle
from synth.errors import UsageError, nearest, shown
from synth.paths import data_dir


def load_constitution(name: str) -> tuple[Constitution, tuple[Principle, ...]]:
    """By the name of a file in data/constitutions, or by path. Raises `UsageError`."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = data_dir() / "constitutions" / f"{name}.yaml"
        if not path.is_file():
            known = [file.stem for file in path.parent.glob("*.yaml")]
            raise UsageError(f"constitution {name!r} not found; {nearest(name, known)} (or FILE.yaml)")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read constitution {str(path)!r}: {' '.join(str(error).split())}") from error
    try:
        principles = tuple(_principle(number, entry) for number, entry in enumerate(content["principles"], 1))
        constitution = Constitution(
            name=content["id"],
            title=content["title"],
            source=content["source"],
            principle_ids=tuple(principle.id for principle in principles),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"constitution {str(path)!r} expects id, title, source and principles with id, text, critique_request, "
            f"revision_request, source; got {shown(content)}: {_first_line(error)}"
        ) from error
    if not principles:
        raise UsageError(f"constitution {str(path)!r} has no principles; give it at least one")
    names = [principle.name for principle in principles]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"constitution {str(path)!r} has two principles {twice!r}; give each its own id")
    return constitution, principles


def _principle(number: int, entry: dict[str, Any]) -> Principle:
    try:
        return Principle(name=entry["id"], **{field: entry[field] for field in entry if field != "id"})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"principle {number}, {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    return f"missing {error}" if isinstance(error, KeyError) else str(error)
