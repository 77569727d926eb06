"""A run from its configuration to its end: everything is checked before the first model call, then shard by shard.

A shard is a stretch of items whose part of the call log is held in memory. Recipes that read prompts go first, all on
one shard at a time; those that read feedback from the store follow, on what is there by then.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml

from schemas import Pair, Prompt, Reject, Row, Run, RunConfig, content_id
from synth import __version__, catalogue
from synth.calls import CallLog
from synth.catalogue import Recipe
from synth.constitution import load_constitution
from synth.engine import Engine
from synth.engines import check_spec, open_engine, pack_of
from synth.errors import EngineError, Interrupted, UsageError, nearest
from synth.runtime import Job, Outcome, Work, run_jobs
from synth.sources import check_source, read_prompts
from synth.store import Store, Writer

# What a run may change without being another run.
_NO_PART_OF_A_RUN = {"store", "shard_size", "window", "max_reject_share"}


@dataclass(frozen=True, slots=True)
class Shard:
    """Items that are run together, and the lines of the source among them that are none."""

    index: int
    items: Sequence[Prompt | Pair]
    rejects: Sequence[Reject]


@dataclass
class Progress:
    """How far a session is. Jobs are recipes times items; `jobs` grows shard by shard."""

    jobs: int = 0
    finished_before: int = 0
    items: int = 0
    duplicate_prompts: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


class Session:
    """One run in this process. Use as a context manager, in which `run` makes the data.

    `engines` takes the place of the configuration's models, by role or as "default", and is closed at the end. Raises
    `UsageError` for whatever is wrong with the configuration, before any model call.
    """

    def __init__(self, config: RunConfig, engines: Mapping[str, Engine] | None = None) -> None:
        self._recipes = [catalogue.load(name) for name in config.recipes]
        self.config = _resolve(config, self._recipes, engines)
        settings = _settings(self.config, self._recipes, None if engines else self.config.models.get("default"))
        constitution = None
        if any("principles" in recipe.config.model_fields for recipe in self._recipes):
            constitution = load_constitution(self.config.constitution or "general")
            for recipe in self._recipes:
                if "principles" in recipe.config.model_fields:
                    settings[recipe.name].setdefault("principles", constitution[1])
        configs = {recipe.name: catalogue.configure(recipe, settings[recipe.name]) for recipe in self._recipes}
        if self.config.prompts is not None:
            check_source(self.config.prompts, self.config.fields)
        self.store = Store(self.config.store, create=True)
        self._engines = engines or _open_engines(self.config, self._recipes)
        self.works = [
            Work.of(recipe, configs[recipe.name], self._engines, self.config.seed) for recipe in self._recipes
        ]
        self._locks = [self.store.lock(work_id) for work_id in sorted({work.id for work in self.works})]
        self._writer = Writer(self.store)
        self.run_id = _run_id(self.config)
        self.log = CallLog(self._writer, self.run_id)
        self.outcome = Outcome(self.config.max_reject_share)
        self.progress = Progress()
        self._started_at = datetime.now(UTC)
        self._runner = asyncio.Runner()
        self._seen: set[bytes] = set()
        self._write_missing([*constitution[1], constitution[0]] if constitution else [])
        self._write_run("running")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        cause = error or self.log.stopped_by or self.outcome.failure()
        status: Literal["done", "interrupted", "failed"] = "done"
        if cause:
            asked_to_stop = isinstance(cause, Interrupted) or not isinstance(cause, Exception)
            status = "interrupted" if asked_to_stop else "failed"
        try:
            try:
                self._write_run(status)
            finally:
                self._close_engines()
                self._writer.close()
        except OSError as failure:
            raise EngineError(f"cannot write the store: {failure}; free the disk and run again") from failure
        finally:
            for lock in self._locks:
                lock.close()

    def _close_engines(self) -> None:
        for engine in {id(engine): engine for engine in self._engines.values()}.values():
            self._runner.run(engine.close())
        self._runner.close()

    def stop(self) -> None:
        """Stop soon: calls that a model is at work on are finished and kept, no others are made."""
        self.log.stop(Interrupted("stopped; run the same command again to go on"))
        for engine in self._engines.values():
            engine.drop_waiting()

    def shards(self) -> Iterator[Shard]:
        """The run's items. Run each shard before taking the next; ends early when the run is stopped."""
        index = itertools.count()
        for items in (self._prompts(), self._pairs()):
            for batch in _batches(items, self.config.shard_size):
                if self.log.stopped_by:
                    return
                rejects = [one for one in batch if isinstance(one, Reject)]
                yield Shard(next(index), [one for one in batch if not isinstance(one, Reject)], rejects)

    def run_shard(self, shard: Shard) -> None:
        """Run every recipe that reads such items on the shard. What was finished before is left as it is."""
        self._write_missing([*(item for item in shard.items if isinstance(item, Prompt)), *shard.rejects])
        works = [work for work in self.works if shard.items and isinstance(shard.items[0], work.recipe.item)]
        self.progress.jobs += len(works) * len(shard.items) + len(shard.rejects)
        self.outcome.rejected += len(shard.rejects)
        jobs = self._unfinished(works, shard.items)
        self.progress.items += len(shard.items)
        if jobs:
            self.log.remember(self.store.calls_of([item.id for item in shard.items]))
            self._runner.run(run_jobs(jobs, self.log, self.outcome, self.config.window))
        self._writer.flush()

    def run(self, run_shard: Callable[[Session, Shard], None] | None = None) -> None:
        """Run all shards; `run_shard` may wrap the session's own, to have each one tracked.

        Raises `EngineError`, `Interrupted` or `RunFailed`; whatever was made until then is kept, and the same
        configuration goes on from there.
        """
        for shard in self.shards():
            (run_shard or Session.run_shard)(self, shard)
        if cause := self.log.stopped_by or self.outcome.failure():
            raise cause

    def _unfinished(self, works: Sequence[Work], items: Sequence[Prompt | Pair]) -> list[Job]:
        finished = {work.id: self.store.finished(work.id, [item.id for item in items]) for work in works}
        for statuses in finished.values():
            self.progress.finished_before += len(statuses)
            rejected = sum(status == "reject" for status in statuses.values())
            self.outcome.rejected += rejected
            self.outcome.done += len(statuses) - rejected
        first = self.progress.items
        return [
            Job(work, item, first + offset)
            for offset, item in enumerate(items)
            for work in works
            if item.id not in finished[work.id]
        ]

    def _prompts(self) -> Iterator[Prompt | Reject]:
        if self.config.prompts is None or all(recipe.item is Pair for recipe in self._recipes):
            return
        for one in read_prompts(self.config.prompts, self.config.fields, self.run_id, self.config.limit):
            if self._is_new(one):
                yield one
            else:
                self.progress.duplicate_prompts += isinstance(one, Prompt)

    def _pairs(self) -> Iterator[Pair]:
        if any(recipe.item is Pair for recipe in self._recipes):
            self._writer.flush()
            yield from self.store.pairs()

    def _is_new(self, row: Row) -> bool:
        short = blake2b(row.id.encode(), digest_size=8).digest()
        new = short not in self._seen
        self._seen.add(short)
        return new

    def _write_missing(self, rows: Sequence[Row]) -> None:
        for table in {row.table for row in rows}:
            own = [row for row in rows if row.table == table]
            known = self.store.known(table, [row.id for row in own])
            self._writer.write([row for row in own if row.id not in known])

    def _write_run(self, status: Literal["running", "done", "interrupted", "failed"]) -> None:
        self._writer.write(
            [
                Run(
                    id=self.run_id,
                    config=self.config.model_dump_json(),
                    work_ids=tuple(work.id for work in self.works),
                    version=__version__,
                    started_at=self._started_at,
                    updated_at=datetime.now(UTC),
                    status=status,
                    calls_made=self.log.tally.calls_made,
                    calls_reused=self.log.tally.calls_reused,
                    duplicate_prompts=self.progress.duplicate_prompts,
                    seconds=self.progress.seconds,
                )
            ]
        )


def run(config: RunConfig, engines: Mapping[str, Engine] | None = None) -> Session:
    """Make what the configuration asks for and return the finished session (its `store` holds the data).

    Raises `UsageError` before any model call, and what `Session.run` raises after it.
    """
    with Session(config, engines) as session:
        session.run()
    return session


def _resolve(config: RunConfig, recipes: Sequence[Recipe], engines: Mapping[str, Engine] | None) -> RunConfig:
    """The configuration with defaults that depend on other fields filled in; refuses names that nothing uses."""
    names = [recipe.name for recipe in recipes]
    for name in config.settings:
        if name not in names:
            raise UsageError(f"settings for recipe {name!r}, which is not run; {nearest(name, names)}")
    if config.prompts is None and any(recipe.item is Prompt for recipe in recipes):
        reading = next(recipe.name for recipe in recipes if recipe.item is Prompt)
        raise UsageError(f"recipe {reading!r} reads prompts and none are given; add --prompts FILE")
    roles = sorted({role for recipe in recipes for role in recipe.roles})
    for role, spec in config.models.items():
        if role not in roles and role != "default":
            raise UsageError(f"role {role!r} is not used by {', '.join(names)}; {nearest(role, roles)}")
        check_spec(spec)
    if not engines and (unbound := [role for role in roles if not {role, "default"} & config.models.keys()]):
        raise UsageError(f"role {unbound[0]!r} has no model; add --model {unbound[0]}=MODEL, or --model MODEL for all")
    constitution = config.constitution
    if not any("principles" in recipe.config.model_fields for recipe in recipes):
        if constitution:
            raise UsageError(f"a constitution is given and {', '.join(names)} reads none; leave out --constitution")
    elif not constitution:
        constitution = "pocket" if config.models.get("default") == "pocket" else "general"
    return config.model_copy(update={"constitution": constitution})


def _settings(config: RunConfig, recipes: Sequence[Recipe], default: str | None) -> dict[str, dict[str, Any]]:
    """Settings per recipe: of the prompt pack (the user's, or the one that travels with the model), then the user's."""
    pack: dict[str, dict[str, Any]] = {}
    if path := config.prompt_pack or (default and pack_of(default)):
        try:
            pack = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(f"cannot read prompt pack {str(path)!r}: {' '.join(str(error).split())}") from error
        if not (isinstance(pack, dict) and all(isinstance(fields, dict) for fields in pack.values())):
            raise UsageError(f"prompt pack {str(path)!r} expects recipe: {{field: text}}")
    return {recipe.name: {**pack.get(recipe.name, {}), **config.settings.get(recipe.name, {})} for recipe in recipes}


def _open_engines(config: RunConfig, recipes: Iterable[Recipe]) -> dict[str, Engine]:
    """One engine per model that some role is bound to."""
    roles = {role for recipe in recipes for role in recipe.roles}
    specs = {role: config.models.get(role) or config.models["default"] for role in roles}
    opened = {spec: open_engine(spec) for spec in sorted(set(specs.values()))}
    return {role: opened[spec] for role, spec in specs.items()}


def _run_id(config: RunConfig) -> str:
    return content_id("ru", config.model_dump(mode="json", exclude=_NO_PART_OF_A_RUN))


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
