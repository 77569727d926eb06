"""The training formats: one SQL file of this folder each, with the row model of the same name in `schemas.exports`.

`sft.sql` selects the columns of `SftRow`. A new format is those two: NAME.sql here and a row model there.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from schemas.exports import ExportRow


class Exported(NamedTuple):
    """What came of one format. With no rows, nothing lies at `path`."""

    format: str
    path: Path
    rows: int


def _format_of(model: type[ExportRow]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__.removesuffix("Row")).lower()


_FOLDER = resources.files(__package__)
_ROW_MODELS = {_format_of(model): model for model in ExportRow.__subclasses__()}
FORMATS = tuple(name for name in _ROW_MODELS if _FOLDER.joinpath(f"{name}.sql").is_file())


def row_model(format: str) -> type[ExportRow]:
    """The model of the format's rows: its columns, their types and what they mean."""
    return _ROW_MODELS[format]


def query(format: str) -> str:
    """The format's SELECT over a store's tables and views."""
    return _FOLDER.joinpath(f"{format}.sql").read_text(encoding="utf-8")


def made_of(format: str) -> str:
    """Which records the format is made of, in words: the `-- from:` line of its query."""
    found = re.search(r"^-- from: (.+)$", query(format), re.MULTILINE)
    return found[1] if found else "records"
