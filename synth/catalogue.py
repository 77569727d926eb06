"""The recipes there are: found by listing their folder, described by their own docstrings and signatures."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError

import synth.recipes
from schemas import Pair, Prompt
from synth.errors import UsageError, nearest, shown
from synth.text import placeholders

_SECTIONS = ("paper", "reads", "writes", "differs")


@dataclass(frozen=True)
class Recipe:
    """One recipe as its file describes it."""

    name: str
    summary: str
    paper: str
    reads: str
    writes: str
    differs: str
    item: type[Prompt] | type[Pair]
    config: type[BaseModel]
    run: Callable[[Any, Any, Any], Awaitable[None]]
    roles: tuple[str, ...]
    source: str
    fingerprint: str


def names() -> list[str]:
    """All recipes, by name."""
    return sorted(module.name for module in iter_modules(synth.recipes.__path__))


def load(name: str) -> Recipe:
    """One recipe. Raises `UsageError` for a name that is not there."""
    if name not in names():
        raise UsageError(f"recipe {name!r} not found; {nearest(name, names())}")
    module = import_module(f"synth.recipes.{name}")
    source = Path(str(module.__file__)).read_text()
    summary, sections = _read_docstring(inspect.getdoc(module) or "")
    item = get_type_hints(module.run)["item"]
    return Recipe(
        name=name,
        summary=summary,
        **sections,
        item=item,
        config=module.Config,
        run=module.run,
        roles=_roles_used(source),
        source=source,
        fingerprint=blake2b(source.encode(), digest_size=12).hexdigest(),
    )


def configure(recipe: Recipe, settings: dict[str, Any]) -> BaseModel:
    """The recipe's Config with these fields set. Raises `UsageError` with one line for the first that does not fit."""
    for field in settings:
        if field not in recipe.config.model_fields:
            raise UsageError(f"{recipe.name} has no setting {field!r}; {nearest(field, recipe.config.model_fields)}")
    try:
        config = recipe.config.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{recipe.name}.{where}: {first['msg'].lower()}, got {shown(first['input'])}"
        raise UsageError(f"{problem}; see `burnish recipes {recipe.name}`") from error
    _check_placeholders(recipe, config)
    return config


def _check_placeholders(recipe: Recipe, config: BaseModel) -> None:
    """A replaced prompt may ask only for what the recipe's own prompt is filled with."""
    default = recipe.config.model_construct()
    for field in recipe.config.model_fields:
        if field.endswith(("_prompt", "_prompts")):
            allowed = set[str]().union(*map(placeholders, _texts(getattr(default, field))))
            for text in _texts(getattr(config, field)):
                if unknown := placeholders(text) - allowed:
                    name = sorted(unknown)[0]
                    raise UsageError(f"{recipe.name}.{field}: nothing fills {{{name}}}; {nearest(name, allowed)}")


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _roles_used(source: str) -> tuple[str, ...]:
    """The roles a recipe speaks to: every `roles.NAME` in it that is no attribute of `Roles` itself."""
    from synth.roles import Roles

    own = {*dir(Roles), *Roles.__dataclass_fields__}
    used = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "roles"
    }
    return tuple(sorted(used - own))


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first sentence, and the named sections with their line breaks folded."""
    head, *parts = re.split(rf"^({'|'.join(_SECTIONS)}):", text, flags=re.MULTILINE)
    sections = {name: " ".join(body.split()) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return " ".join(head.split()), {name: sections.get(name, "") for name in _SECTIONS}
