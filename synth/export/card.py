"""The dataset card: what an export holds, how it was made, how to load it and train on it.

Its text depends on nothing but the store and the export: no time, no absolute path, no address. Whatever a model, a
prompt or a server's name says is data: shown as code, with nothing left in it that Markdown, HTML or YAML could take
for their own.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from schemas.row import arrow_schema
from synth import catalogue
from synth.errors import UsageError
from synth.export.formats import Exported, made_of, row_model

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FILE = "README.md"
MARK = "<!-- Written by `burnish export`, which replaces this folder when it exports here again. -->"
LICENSE = "see-prompts-and-models"
TRAINERS = {"sft": "SFTTrainer", "preference": "DPOTrainer", "unpaired": "KTOTrainer"}
SHOWN_RUNS = 20
SHOWN_CHARACTERS = 300
SHOWN_TURNS = 6

_RECORDS = """
SELECT recipe, record, count(DISTINCT id) AS rows FROM (
    SELECT recipe, kind AS record, id FROM responses
    UNION ALL SELECT recipe, 'critique', id FROM critiques
    UNION ALL SELECT recipe, kind, id FROM judgments
    UNION ALL SELECT recipe, 'chain', id FROM chains
) GROUP BY ALL ORDER BY ALL"""
_ITEMS = """
SELECT recipe, count(DISTINCT id) AS ran, count(DISTINCT id) FILTER (status = 'reject') AS rejected
FROM items GROUP BY ALL ORDER BY ALL"""
_REJECTS = "SELECT recipe, reason, count(*) AS rows FROM rejects GROUP BY ALL ORDER BY ALL"
_MODELS = """
SELECT model, fingerprint, string_agg(DISTINCT role, ', ' ORDER BY role) AS roles, count(*) AS calls,
       sum(completion_tokens) AS tokens
FROM calls GROUP BY model, fingerprint ORDER BY ALL"""


def render(connection: duckdb.DuckDBPyConnection, exported: Sequence[Exported], where: str | None) -> str:
    """The text of README.md."""
    present = [_describe(connection, one) for one in exported if one.rows]
    absent = [{"name": one.format, "made_of": made_of(one.format)} for one in exported if not one.rows]
    records = _rows(connection, _RECORDS)
    items = _rows(connection, _ITEMS)
    runs = _rows(connection, "SELECT id, config, version, status FROM runs ORDER BY started_at, id")
    [[prompts]] = connection.execute("SELECT count(*) FROM prompts").fetchall()
    return _template().render(
        header=yaml.safe_dump(_header(present), sort_keys=False, allow_unicode=True),
        mark=MARK,
        license=LICENSE,
        present=present,
        trainers={one["name"]: TRAINERS[one["name"]] for one in present if one["name"] in TRAINERS},
        absent=absent,
        where=where and _fenced(where, "sql"),
        prompts=prompts,
        recipes=[_recipe(name) for name in sorted({row["recipe"] for row in [*records, *items]})],
        runs=[_run(row) for row in runs[:SHOWN_RUNS]],
        runs_left_out=max(0, len(runs) - SHOWN_RUNS),
        models=[row | {"model": _public(row["model"])} for row in _rows(connection, _MODELS)],
        records=records,
        items=items,
        rejects=_rows(connection, _REJECTS),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=False,  # it is Markdown: the filters escape
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"code": _code, "cell": _cell, "prose": _prose, "count": "{:,}".format}
    return environment.from_string(resources.files(__package__).joinpath("card.md.jinja").read_text(encoding="utf-8"))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: object = None) -> list[dict[str, Any]]:
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


# What there is to say


def _describe(connection: duckdb.DuckDBPyConnection, one: Exported) -> dict[str, Any]:
    """A format with its columns, sizes and first row."""
    model = row_model(one.format)
    files = [str(path) for path in sorted(one.path.glob("*.parquet"))]
    sizes = "SELECT sum(total_uncompressed_size)::BIGINT FROM parquet_metadata(?)"
    [[size]] = connection.execute(sizes, [files]).fetchall()
    [first] = _rows(connection, "SELECT * FROM read_parquet(?) LIMIT 1", [files[:1]])
    if first.get("model"):
        first["model"] = _public(first["model"])
    return {
        "name": one.format,
        "rows": one.rows,
        "what": model.__doc__ or "",
        "columns": {name: field.description for name, field in model.model_fields.items()},
        "features": _features(arrow_schema(model)),
        "bytes": size,
        "file_bytes": sum(Path(path).stat().st_size for path in files),
        "example": _fenced(json.dumps(_shortened(first), ensure_ascii=False, indent=2), "json"),
    }


def _header(present: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The card's metadata, as the Hub and `load_dataset` read it."""
    header: dict[str, Any] = {
        "pretty_name": "Language feedback data",
        "license": "other",
        "license_name": LICENSE,
        "language": ["und"],
        "task_categories": ["text-generation"],
        "tags": ["burnish", "synthetic", "language-feedback", *(one["name"] for one in present)],
        "size_categories": [_size_category(sum(one["rows"] for one in present))],
    }
    if present:
        header["configs"] = [
            {
                "config_name": one["name"],
                "data_files": [{"split": "train", "path": f"{one['name']}/train-*.parquet"}],
                **({"default": True} if one is present[0] else {}),
            }
            for one in present
        ]
        header["dataset_info"] = [
            {
                "config_name": one["name"],
                "features": one["features"],
                "splits": [{"name": "train", "num_bytes": one["bytes"], "num_examples": one["rows"]}],
                "download_size": one["file_bytes"],
                "dataset_size": one["bytes"],
            }
            for one in present
        ]
    return header


def _features(fields: Sequence[pa.Field]) -> list[dict[str, Any]]:
    return [{"name": field.name, **_feature(field.type)} for field in fields]


def _feature(type: pa.DataType) -> dict[str, Any]:
    import pyarrow as pa

    if pa.types.is_list(type):
        inner = _feature(type.value_type)
        return {"list": inner.get("struct") or inner["dtype"]}
    if pa.types.is_struct(type):
        return {"struct": _features([type.field(index) for index in range(type.num_fields)])}
    return {"dtype": "float64" if pa.types.is_float64(type) else str(type)}


def _size_category(rows: int) -> str:
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B"]
    step = next((index for index in range(len(bounds)) if rows < 10 ** (index + 3)), len(bounds))
    if step == 0:
        return "n<1K"
    return f"{bounds[step - 1]}<n<{bounds[step]}" if step < len(bounds) else "n>1B"


def _recipe(name: str) -> dict[str, str]:
    """A recipe in its own words; one that is not in the catalogue, by its name alone."""
    try:
        recipe = catalogue.load(name)
    except UsageError:
        return {"name": name, "summary": "", "paper": "", "differs": ""}
    return {"name": name, "summary": recipe.summary, "paper": recipe.paper, "differs": recipe.differs}


def _run(row: dict[str, Any]) -> dict[str, str]:
    config = json.loads(row["config"])
    models = config.get("models", {})
    return {
        "id": row["id"],
        "recipes": ", ".join(config.get("recipes", [])),
        "prompts": _public(config.get("prompts", "")),
        "models": ", ".join(f"{role}={_public(spec)}" for role, spec in sorted(models.items())),
        "seed": str(config.get("seed", "")),
        "version": row["version"],
        "status": row["status"],
    }


def _public(name: str) -> str:
    """The name of a model or source without what is nobody's business: folders, servers, passwords."""
    prefix, rest = re.fullmatch(r"((?:[a-z]+:(?!//))?)(.*)", name.replace("\\", "/"), re.DOTALL).groups()  # type: ignore[union-attr]
    if prefix == "openai:":
        rest = rest.partition("@")[0]
    if "://" in rest or rest.startswith(("/", "~", ".")) or re.match("[A-Z]:", rest):
        rest = rest.partition("?")[0].rstrip("/").rpartition("/")[2]
    return prefix + rest


# Saying it so that it stays data


def _visible(text: str) -> str:
    """Characters that do not show (controls, joiners, marks that turn the direction of writing) as JSON escapes."""
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _code(value: object) -> str:
    """A value as inline code."""
    text = " ".join(_visible(str(value)).split())
    if not text:
        return ""
    text = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    fence = _fence(text, 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(value: object) -> str:
    """A value as inline code in a table, where a bar would end the cell even inside code."""
    return _code(value).replace("|", "\\|")


def _fenced(text: str, language: str) -> str:
    """A block of code that its own text cannot end."""
    fence = _fence(text, 3)
    return f"{fence}{language}\n{_visible(text)}\n{fence}"


def _fence(text: str, at_least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(at_least, longest + 1)


def _prose(text: str) -> str:
    """A line of words, fit for a table's cell."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", escaped)


def _shortened(value: Any) -> Any:
    """A row with long texts and long conversations cut."""
    if isinstance(value, str):
        return value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…"
    if isinstance(value, list):
        return [_shortened(one) for one in value[:SHOWN_TURNS]]
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in value.items()}
    return value
