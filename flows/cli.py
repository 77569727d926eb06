"""The `burnish` command. Each subcommand is a few lines over synth; what takes long to import is imported when used."""

from __future__ import annotations

import json
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from synth import __version__
from synth.errors import BurnishError, Interrupted, UsageError, nearest, shown

if TYPE_CHECKING:
    from schemas import RunConfig

FAILED, OPERATOR, INTERRUPTED = 1, 2, 130

store_option = click.option("--store", required=True, metavar="DIR", help="Folder of the store.")


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Errors as one line and an exit code: 1 the run failed, 2 the operator's error, 130 interrupted."""
    try:
        yield
        sys.stdout.flush()
    except UsageError as error:
        _end(str(error), OPERATOR)
    except (Interrupted, KeyboardInterrupt) as error:
        _end(str(error) or "stopped at once; the same command again goes on", INTERRUPTED)
    except BurnishError as error:
        _end(str(error), FAILED)
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(message: str, code: int) -> NoReturn:
    line = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(message.split()))
    print(f"burnish: {line}", file=sys.stderr)
    if code == INTERRUPTED:  # one more Ctrl-C while Python winds up would replace the exit code
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


class _Commands(click.Group):
    """Turns Burnish's errors, and click's, into one line and an exit code; commands are listed in order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _exit_codes():
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **{**options, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help())
            return 0
        except click.ClickException as error:
            _end(_said(error), OPERATOR)


def _said(error: click.ClickException) -> str:
    """What click has to say, in our words."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and context:
        known = [
            name for parameter in context.command.get_params(context) for name in parameter.opts if name[:2] == "--"
        ]
        return f"no option {error.option_name!r}; {nearest(error.option_name, known)}"
    if isinstance(error, click.MissingParameter) and error.param and context:
        name = error.param.opts[0] if isinstance(error.param, click.Option) else error.param.make_metavar(context)
        return f"{name} is missing; see `{context.command_path} --help`"
    message = error.format_message().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="burnish")
def main() -> None:
    """Make feedback-rich training data with language models on your own machine.

    \b
      burnish demo
      burnish run ilf --prompts prompts.jsonl --store feedback
      burnish sql "SELECT chosen, rejected FROM preferences" --store feedback
      burnish export sft preference --store feedback --to dataset

    \b
    Exit codes: 0 done; 1 failed, or too many rejects; 2 a mistake in the command;
    130 interrupted.
    """


def _assignments(_context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, right = value.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{parameter.opts[0]} expects {parameter.metavar}, got {shown(value)}")
        pairs[name] = right
    return pairs


def _by_name(option: str, name: str, metavar: str, help: str) -> Callable[[Any], Any]:
    """An option NAME=VALUE that may be given several times."""
    return click.option(option, name, multiple=True, callback=_assignments, metavar=metavar, help=help)


@main.command()
@click.argument("recipes", nargs=-1, metavar="RECIPE…")
@click.option("--prompts", metavar="SOURCE", help="File, folder or hf:NAME[:SPLIT] with prompts.")
@click.option("--store", metavar="DIR", help="Folder of the store; made if absent.")
@click.option("--model", "models", multiple=True, metavar="[ROLE=]SPEC", help="Model of a role, or of all.")
@click.option("--constitution", metavar="NAME", help="Name in data/constitutions, or a YAML file.")
@_by_name("--set", "settings", "RECIPE.FIELD=VALUE", "A recipe's setting; VALUE is JSON, or else text.")
@_by_name("--field", "fields", "FIELD=COLUMN", "Column of the source for a field of the prompt.")
@click.option("--prompt-pack", metavar="FILE", help="YAML with prompts in place of the recipes' own.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Read at most N prompts.")
@click.option("--seed", metavar="N", type=click.IntRange(min=0), help="Seed of the run; default 0.")
@click.option(
    "--max-reject-share", metavar="X", type=click.FloatRange(0, 1), help="Fail above this share; default 0.2."
)
@click.option("--config", metavar="RUN.toml", help="A run to repeat; other options here go before it.")
def run(config: str | None, **options: Any) -> None:
    """Run recipes over prompts and keep everything in the store.

    The same command again goes on where it stopped and repeats no call. With a
    Prefect API configured (PREFECT_API_URL) the run is a Prefect flow run.

    \b
      burnish run ilf --prompts data/prompts/pocket.jsonl --store feedback
      burnish run constitutional_ai --prompts questions.csv --store feedback \\
          --field prompt=question --set constitutional_ai.rounds=2 \\
          --model hf:Qwen/Qwen3-4B --model judge=hf:Qwen/Qwen3-8B
      burnish run chain_of_hindsight --store feedback
      burnish show ru_… --store feedback > run.toml
      burnish run --config run.toml
    """
    from flows.display import show_summary
    from synth.store import Store

    resolved = _run_config(config, options)
    if prefect_is_configured():
        from flows.synthesize import run_tracked

        run_id = run_tracked(resolved)
    else:
        from flows.progress import run_watched

        run_id = run_watched(resolved)
    show_summary(Store(resolved.store), run_id)


def prefect_is_configured() -> bool:
    """Whether Prefect has an API to report to, found without importing Prefect."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, ValueError):
        return False
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return bool(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL"))


def _run_config(path: str | None, options: dict[str, Any]) -> RunConfig:
    """The file's configuration with the options laid over it."""
    from pydantic import ValidationError

    from schemas import RunConfig

    given = {
        **options,
        "models": dict(one.split("=", 1) if _names_role(one) else ("default", one) for one in options["models"]),
        "settings": _settings(options["settings"]),
    }
    values = _laid_over(
        _read_toml(path) if path else {},
        {name: value for name, value in given.items() if value not in (None, (), {})},
    )
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


def _settings(assignments: dict[str, str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    for target, text in assignments.items():
        recipe, dot, field = target.partition(".")
        if not (recipe and dot and field):
            raise UsageError(f"--set expects RECIPE.FIELD=VALUE, got {shown(f'{target}={text}')}")
        settings.setdefault(recipe, {})[field] = _value(text)
    return settings


def _value(text: str) -> Any:
    """JSON where it is JSON (numbers, true, lists), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, table by table; what is above goes before."""
    both = dict(below)
    for name, value in above.items():
        under = below.get(name)
        both[name] = _laid_over(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read --config {path!r}: {reason}") from error


@main.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the recipes, or describe one with its settings.

    \b
      burnish recipes
      burnish recipes constitutional_ai
    """
    from flows.display import show_recipe, show_recipes
    from synth import catalogue

    if name is None:
        show_recipes(catalogue.load(known) for known in catalogue.names())
    else:
        show_recipe(catalogue.load(name))


@main.command()
@click.argument("query")
@store_option
@click.option(
    "--format",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    help="As --out ends, or else table. json is one object a line.",
)
@click.option("--out", metavar="FILE", help="Write there instead of to the terminal.")
def sql(query: str, store: str, format: str | None, out: str | None) -> None:
    """Ask the store in DuckDB's SQL; a run may write meanwhile.

    \b
      burnish sql "FROM drafts LIMIT 3" --store feedback
      burnish sql "DESCRIBE preferences" --store feedback
      burnish sql "SELECT recipe, count(*) FROM refinements GROUP BY recipe" \\
          --store feedback
      burnish sql "FROM preferences" --store feedback --out preferences.parquet

    \b
    Tables: prompts responses critiques judgments chains principles constitutions
            calls runs rejects items
    Views:  drafts refinements finals ranks comparisons preferences
    """
    from flows.tabular import answer

    answer(query, store, format, out)


@main.command()
@click.argument("id")
@store_option
def show(id: str, store: str) -> None:
    """Show a row with all that is behind it; of a run, its settings.

    The ids of rows are in the columns `id`, `prompt_id`, `response_id`, … of the
    store and its exports. A run's configuration is printed as TOML to run again.

    \b
      burnish show re_0123456789abcdef01234567 --store feedback
      burnish show ru_0123456789abcdef01234567 --store feedback > run.toml
    """
    from flows.tree import run_as_toml, show_lineage
    from synth.lineage import trace
    from synth.store import Store

    root = trace(Store(store), id)
    if root.table == "runs":
        click.echo(run_as_toml(root.row), nl=False)
    else:
        show_lineage(root)


@main.command()
@click.argument("formats", nargs=-1, required=True, metavar="FORMAT…")
@store_option
@click.option("--to", required=True, metavar="DIR", help="Folder of the dataset.")
@click.option("--where", metavar="SQL", help='Condition on the format\'s columns, such as "p_chosen > 0.9".')
def export(formats: tuple[str, ...], store: str, to: str, where: str | None) -> None:
    """Write training sets: sft, preference, unpaired, chain.

    They are Parquet files with a dataset card (README.md) as the Hub expects it.

    \b
      burnish export sft preference --store feedback --to dataset
      burnish export preference --store feedback --to sure \\
          --where "p_chosen > 0.9 AND recipe = 'ilf'"
    """
    from synth.export import export as write
    from synth.store import Store

    for one in write(Store(store), formats, to, where):
        click.echo(f"{one.rows:>9,} rows  {one.path}")


@main.command()
@click.option("--to", default="burnish-demo", show_default=True, metavar="DIR", help="For the store and the dataset.")
def demo(to: str) -> None:
    """Make feedback data offline with a tiny model, and look at it.

    Runs ilf, constitutional_ai and chain_of_hindsight on the bundled prompts.
    """
    from flows.demo import run_demo

    run_demo(Path(to))
