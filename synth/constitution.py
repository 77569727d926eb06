"""Constitutions: YAML files of principles, the project's own or the user's."""

from __future__ import annotations

from pathlib import Path

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
        principles = tuple(
            Principle(name=entry["id"], **{field: entry[field] for field in entry if field != "id"})
            for entry in content["principles"]
        )
        constitution = Constitution(
            name=content["id"],
            title=content["title"],
            source=content["source"],
            principle_ids=tuple(principle.id for principle in principles),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise UsageError(
            f"constitution {str(path)!r} expects id, title, source and principles with id, text, critique_request, "
            f"revision_request, source; got {shown(content)}: {_first_line(error)}"
        ) from error
    if not principles:
        raise UsageError(f"constitution {str(path)!r} has no principles; give it at least one")
    return constitution, principles


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
    return f"missing {error}" if isinstance(error, KeyError) else str(error)
