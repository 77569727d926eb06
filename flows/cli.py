"""The `burnish` command. Each subcommand is a few lines over synth; what takes long to import is imported when used."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synth import __version__
from synth.errors import BurnishError, Interrupted, UsageError, nearest, shown

if TYPE_CHECKING:
    from schemas import RunConfig

OPERATOR, FAILED, INTERRUPTED = 2, 1, 130

store_option = click.option("--store", required=True, metavar="DIR", help="Folder of the store.")


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Errors as one line and an exit code: 1 the run failed, 2 the operator's error, 130 interrupted."""
    try:
        yield
    except UsageError as error:
        _end(str(error), OPERATOR)
    except (Interrupted, KeyboardInterrupt) as error:
        _end(str(error) or "stopped now; run the same command again to go on", INTERRUPTED)
    except BurnishError as error:
        _end(str(error), FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(message: str, code: int) -> None:
    print(f"burnish: {message}", file=sys.stderr)
    sys.exit(code)


class _Commands(click.Group):
    """Turns Burnish's errors into messages and exit codes, and unknown commands into the nearest known one."""

    def invoke(self, ctx: click.Context) -> Any:
        with _exit_codes():
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="burnish")
def main() -> None:
    """Make feedback-rich training data with language models on your own machine.

    \b
    burnish demo                                            everything once, offline, on a tiny model
    burnish run ilf --prompts prompts.jsonl --store feedback --model hf:Qwen/Qwen3-4B
    burnish sql "SELECT chosen, rejected FROM preferences LIMIT 5" --store feedback
    burnish export sft preference --store feedback --to dataset

    Exit codes: 0 done, 1 failed or too many rejects, 2 a mistake in the command, 130 interrupted.
    """


def _assignments(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, right = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {value!r}", param=parameter)
        pairs[name] = right
    return pairs


@main.command()
@click.argument("recipes", nargs=-1, metavar="RECIPE…")
@click.option("--prompts", metavar="SOURCE", help="File, folder or hf:NAME[:SPLIT] with prompts.")
@click.option("--store", metavar="DIR", help="Folder of the store; made if absent.")
@click.option(
    "--model", "models", multiple=True, metavar="[ROLE=]SPEC", help="Model for all roles or one: pocket, hf:NAME."
)
@click.option("--constitution", metavar="NAME", help="Name in data/constitutions, or a YAML file.")
@click.option(
    "--set", "settings", multiple=True, callback=_assignments, metavar="RECIPE.FIELD=VALUE", help="A recipe's setting."
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    callback=_assignments,
    metavar="FIELD=COLUMN",
    help="Column of the source for a field of the prompt.",
)
@click.option("--prompt-pack", metavar="FILE", help="YAML with prompts in place of the recipes' own.")
@click.option("--limit", type=click.IntRange(min=1), help="Read at most this many prompts.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the run (default 0).")
@click.option(
    "--max-reject-share", type=click.FloatRange(0, 1), help="Fail beyond this share of rejects (default 0.2)."
)
@click.option(
    "--config", "config_file", metavar="RUN.toml", help="A run's configuration; options given here go before it."
)
def run(config_file: str | None, **options: Any) -> None:
    """Run recipes over prompts and keep everything in the store.

    The same command again goes on where it stopped and repeats no call. With a Prefect API configured
    (PREFECT_API_URL), the run is a Prefect flow run.

    \b
    burnish run ilf --prompts data/prompts/pocket.jsonl --store feedback
    burnish run constitutional_ai --prompts questions.csv --field prompt=question \\
        --model hf:Qwen/Qwen3-4B --model judge=hf:Qwen/Qwen3-8B --set constitutional_ai.rounds=2 --store feedback
    burnish run chain_of_hindsight --store feedback
    burnish show ru_… --store feedback > run.toml && burnish run --config run.toml
    """
    from flows.display import show_summary
    from synth.store import Store

    config = _run_config(config_file, options)
    if prefect_is_configured():
        from flows.synthesize import synthesize

        run_id = synthesize(config)
    else:
        run_id = run_directly(config)
    show_summary(Store(config.store), run_id)


def run_directly(config: RunConfig) -> str:
    """What the flow `synthesize` does, without Prefect."""
    from flows.display import watch
    from flows.interrupt import interruptible
    from synth.session import Session

    with Session(config) as session, interruptible(session), watch(session):
        for shard in session.shards():
            session.run_shard(shard)
        session.finish()
    return session.run_id


def prefect_is_configured() -> bool:
    """Whether Prefect has an API to report to, found without importing Prefect."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return False
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return bool(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"))


def _run_config(config_file: str | None, options: dict[str, Any]) -> RunConfig:
    """The file's configuration with the options laid over it."""
    from pydantic import ValidationError

    from schemas import RunConfig

    values = _read_toml(config_file) if config_file else {}
    for name, value in options.items():
        if name not in ("models", "settings") and value not in (None, (), {}):
            values[name] = value
    if models := options["models"]:
        values["models"] = dict(m.split("=", 1) if _names_role(m) else ("default", m) for m in models)
    for target, text in options["settings"].items():
        recipe, dot, field = target.partition(".")
        if not dot:
            raise UsageError(f"--set expects RECIPE.FIELD=VALUE, got {target!r}")
        values.setdefault("settings", {}).setdefault(recipe, {})[field] = _value(text)
    for name, example in (("recipes", "ilf"), ("store", "--store DIR")):
        if not values.get(name):
            raise UsageError(f"no {name} given; add {example}, see `burnish run --help`")
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UsageError(f"a run has no setting {name!r}; {nearest(name, RunConfig.model_fields)}") from error
        raise UsageError(f"{name}: {first['msg'].lower()}, got {shown(first['input'])}") from error


def _names_role(model: str) -> bool:
    role, equals, _ = model.partition("=")
    return bool(equals) and role.isidentifier()


def _value(text: str) -> Any:
    """JSON where it is JSON (numbers, true, lists), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read --config {path!r}: {error}") from error


@main.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes, or describe one with its settings.

    \b
    burnish recipes
    burnish recipes constitutional_ai
    """
    from flows.display import console, show_recipe, show_recipes
    from synth import catalogue

    if name is None:
        show_recipes([catalogue.load(known) for known in catalogue.names()])
        console.print("burnish recipes NAME describes one")
    else:
        show_recipe(catalogue.load(name))


@main.command()
@click.argument("query")
@store_option
@click.option(
    "--format", "format", type=click.Choice(["table", "csv", "json", "parquet"]), default="table", show_default=True
)
@click.option("--out", metavar="FILE", help="Write there instead of to the terminal.")
def sql(query: str, store: str, format: str, out: str | None) -> None:
    """Ask the store in DuckDB's SQL; a run may be writing to it meanwhile.

    Tables: prompts, responses, critiques, judgments, chains, principles, constitutions, calls, runs, rejects, items.
    Views: drafts, refinements, finals, ranks, comparisons, preferences.

    \b
    burnish sql "SELECT recipe, count(*) FROM refinements GROUP BY recipe" --store feedback
    burnish sql "SELECT * FROM preferences" --store feedback --format parquet --out preferences.parquet
    """
    from flows.tabular import answer

    answer(query, store, format, out)


@main.command()
@click.argument("id")
@store_option
def show(id: str, store: str) -> None:
    """Show a row with everything behind it, down to the calls; for a run, its configuration as TOML.

    \b
    burnish show re_… --store feedback
    burnish show ru_… --store feedback > run.toml
    """
    import tomli_w

    from flows.display import show_lineage
    from synth.lineage import trace
    from synth.store import Store

    root = trace(Store(store), id)
    if root.table == "runs":
        config = {name: value for name, value in json.loads(root.row["config"]).items() if value is not None}
        click.echo(tomli_w.dumps(config), nl=False)
    else:
        show_lineage(root)


@main.command()
@click.argument("formats", nargs=-1, required=True, metavar="FORMAT…")
@store_option
@click.option("--to", required=True, metavar="DIR", help="Folder of the dataset.")
@click.option("--where", metavar="SQL", help='Condition on the format\'s columns, such as "p_chosen > 0.9".')
def export(formats: tuple[str, ...], store: str, to: str, where: str | None) -> None:
    """Write training sets as Parquet with a dataset card: sft, preference, unpaired, chain.

    \b
    burnish export sft preference --store feedback --to dataset
    burnish export preference --store feedback --to sure --where "p_chosen > 0.9 AND recipe = 'ilf'"
    """
    from synth.export import export as write
    from synth.store import Store

    for one in write(Store(store), formats, to, where):
        click.echo(f"{one.rows:>9,} rows  {one.path}")


@main.command()
@click.option(
    "--to", default="burnish-demo", show_default=True, metavar="DIR", help="Folder for the store and the dataset."
)
def demo(to: str) -> None:
    """Run ilf, constitutional_ai and chain_of_hindsight on the bundled prompts with the pocket model, offline."""
    from flows.demo import run_demo

    run_demo(Path(to))
