"""What holds for every recipe, whoever adds it: its description, what it may import, that its prompts are filled."""

import ast
import inspect
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from schemas import Pair, Prompt
from synth import catalogue
from synth.constitution import load_constitution
from synth.engine import Choose, Embed, Loglik
from synth.engines.scripted import last_text
from synth.errors import UsageError
from synth.text import fill, placeholders
from tests.harness import ask, run_recipe

NAMES = catalogue.names()
FORBIDDEN = ("asyncio", "prefect", "synth.engines", "synth.store", "synth.calls", "synth.recipes", "logging", "torch")
PAIR = Pair(
    prompt_id="pr_1", messages=({"role": "user", "content": "question"},), chosen_id="re_1", chosen="good",
    chosen_critique="praise", rejected_id="re_2", rejected="bad", p_chosen=0.9, source="comparison", recipe="ilf",
)  # fmt: skip


@pytest.fixture(params=NAMES)
def recipe(request):
    return catalogue.load(request.param)


def test_the_folder_is_the_catalogue():
    folder = Path(catalogue.__file__).parent / "recipes"
    assert sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__") == NAMES


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="recipe 'ifl' not found; did you mean 'ilf'"):
        catalogue.load("ifl")


def test_the_docstring_says_what_it_is(recipe):
    assert recipe.summary[0].isupper()
    assert recipe.summary.endswith(".")
    assert ". " not in recipe.summary
    for section in (recipe.paper, recipe.reads, recipe.writes, recipe.differs):
        assert section
    assert recipe.reads.startswith("prompts" if recipe.item is Prompt else "pairs")


def test_it_is_one_async_function_over_an_item(recipe):
    assert inspect.iscoroutinefunction(recipe.run)
    assert list(inspect.signature(recipe.run).parameters) == ["item", "roles", "config"]


def test_the_config_is_frozen_closed_and_described(recipe):
    assert recipe.config.model_config["frozen"] is True
    assert recipe.config.model_config["extra"] == "forbid"
    for name, info in recipe.config.model_fields.items():
        assert (info.description or "").endswith("."), name


def test_every_setting_is_used(recipe):
    read = {
        node.attr
        for node in ast.walk(ast.parse(recipe.source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "config"
    }
    assert set(recipe.config.model_fields) <= read


def test_it_imports_nothing_of_the_machine(recipe):
    imported = set()
    for node in ast.walk(ast.parse(recipe.source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert not [name for name in imported if any(f"{name}.".startswith(f"{one}.") for one in FORBIDDEN)]


def test_it_is_of_a_size_to_be_read_beside_the_paper(recipe):
    assert 30 <= len(recipe.source.splitlines()) <= 260


def test_it_has_a_test(recipe):
    assert (Path(__file__).parent / "recipes" / f"test_{recipe.name}.py").is_file()


def templates(recipe):
    """Each prompt of the recipe, with the name of its setting."""
    config = recipe.config.model_construct()
    for name in recipe.config.model_fields:
        if name.endswith(("_prompt", "_prompts")):
            value = getattr(config, name)
            yield from ((name, text) for text in ((value,) if isinstance(value, str) else value))


def test_every_placeholder_is_one_that_the_recipe_has_a_value_for(recipe):
    values = set()
    for node in ast.walk(ast.parse(recipe.source)):
        if isinstance(node, ast.keyword) and node.arg:
            values.add(node.arg)
        elif isinstance(node, ast.Dict):
            values |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            values.add(node.slice.value)
    for name, text in templates(recipe):
        assert placeholders(text) <= values, name
        assert not placeholders(fill(text, **dict.fromkeys(placeholders(text), "")))


def variants(recipe):
    """The settings as they are, then each switch and each choice turned, one at a time."""
    yield {}
    for name, info in recipe.config.model_fields.items():
        if info.annotation is bool:
            yield {name: not info.default}
        elif get_origin(info.annotation) is Literal:
            yield from ({name: option} for option in get_args(info.annotation) if option != info.default)


def parrot(request, seed):
    """Says the end of what it read, where a prompt tells how to answer, so that strict parsers are content."""
    if isinstance(request, Choose):
        shares = [len(last_text(request)) % 7 + 1, *range(1, len(request.options))]
        return [share / sum(shares) for share in shares]
    if isinstance(request, Loglik | Embed):
        return [-0.5, -float(len(last_text(request)))]
    return f"{last_text(request)[-200:]} {seed}"


def test_every_way_through_it_fills_its_prompts_and_writes_records(recipe):
    needed = {"principles": load_constitution("general")[1]} if "principles" in recipe.config.model_fields else {}
    marked = {}
    for name, text in templates(recipe):
        marked.setdefault(name, []).append(f"[{name}]\n{text}")
    prompts = {name: texts if name.endswith("s") else texts[0] for name, texts in marked.items()}
    item = ask("question") if recipe.item is Prompt else PAIR
    asked = ""
    for variant in variants(recipe):
        result = run_recipe(recipe.name, item, dict.fromkeys(recipe.roles, parrot), **{**needed, **prompts, **variant})
        assert result.status == "done", (variant, result.reject.detail)
        assert result.records, variant
        asked += "".join(last_text(request) for requests in result.asked.values() for request in requests)
    unused = [name for name in prompts if f"[{name}]" not in asked]
    assert not unused
    assert not placeholders(asked)
