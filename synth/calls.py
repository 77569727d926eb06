"""The call log: every model call is looked up before it is made, and kept before anyone reads its answer.

A call is known by a hash of everything that reaches the model: its identity, the request and the seed of the sample.
Who asked, for which recipe or run, is recorded but no part of the key, so whoever needs the same call shares it.
The log of a whole store is never loaded: the runtime hands over the part that its next items need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import msgspec

from schemas import Call, Row, content_id
from synth.engine import Engine, Model, Request
from synth.errors import BurnishError, EngineError, Interrupted

_encoder = msgspec.json.Encoder(order="sorted")


class Rows(Protocol):
    """Where rows are written: `synth.store.Writer`."""

    def write(self, rows: Sequence[Row]) -> None:
        """Rows that belong together."""
        ...


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf a call is made: recorded with it, no part of its key."""

    role: str
    recipe: str
    item_id: str
    priority: int


@dataclass(slots=True)
class Tally:
    """What the log has done so far, for progress and for the run's row."""

    calls_made: int = 0
    calls_reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def key(model: Model, request: Request, seed: int | None) -> str:
    """The id of a call. Fields of the request at their default are no part of it, so fields may be added."""
    return content_id("ca", model.name, model.fingerprint, type(request).__name__, _telling(request), seed)


def _telling(struct: msgspec.Struct) -> dict[str, Any]:
    """Fields that differ from their defaults. (msgspec's own omit_defaults compares by identity, not by value.)"""
    fields = {}
    for name, default in _defaults(type(struct)).items():
        value = getattr(struct, name)
        if value != default:
            fields[name] = _telling(value) if isinstance(value, msgspec.Struct) else value
    return fields


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.default for field in msgspec.structs.fields(kind)}


@dataclass
class CallLog:
    """Answers requests from the log where it can, from the engine where it must."""

    rows: Rows
    run_id: str
    tally: Tally = field(default_factory=Tally)
    stopped_by: BurnishError | None = None
    _known: dict[str, Call] = field(default_factory=dict)
    _pending: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def remember(self, calls: dict[str, Call]) -> None:
        """Replace the part of the log held in memory."""
        self._known = calls

    def stop(self, cause: BurnishError) -> None:
        """Make no further calls; those in flight are finished and kept. The first cause stands."""
        self.stopped_by = self.stopped_by or cause

    async def drain(self) -> None:
        """Wait for the calls in flight."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)

    async def ask(self, engine: Engine, request: Request, seeds: Sequence[int | None], asker: Asker) -> list[Call]:
        """One completed call per seed, in order. Raises what the engine raises, and `Interrupted` after `stop`."""
        keys = [key(engine.model, request, seed) for seed in seeds]
        missing = {
            key: seed
            for key, seed in zip(keys, seeds, strict=True)
            if key not in self._known and key not in self._pending
        }
        self.tally.calls_reused += len(keys) - len(missing)
        if missing:
            if self.stopped_by:
                raise Interrupted("stopped before this call")
            # A task of its own: a call once made is finished and kept even if its item is given up meanwhile.
            paying = asyncio.create_task(self._pay(engine, request, missing, asker))
            paying.add_done_callback(_retrieve)
            self._pending.update(dict.fromkeys(missing, paying))
        for task in {self._pending[key]: None for key in keys if key in self._pending}:
            await asyncio.shield(task)
        return [self._known[key] for key in keys]

    async def _pay(self, engine: Engine, request: Request, missing: dict[str, int | None], asker: Asker) -> None:
        started_at = datetime.now(UTC)
        try:
            answers = await engine.answer(request, tuple(missing.values()), asker.priority)
            seconds = (datetime.now(UTC) - started_at).total_seconds()
            encoded = _encoder.encode(request).decode()
            calls = [
                Call(
                    id=key,
                    verb=request.verb,
                    model=engine.model.name,
                    fingerprint=engine.model.fingerprint,
                    role=asker.role,
                    recipe=asker.recipe,
                    item_id=asker.item_id,
                    run_id=self.run_id,
                    request=encoded,
                    seed=seed,
                    engine=engine.name,
                    started_at=started_at,
                    seconds=seconds,
                    **answer._asdict(),
                )
                for (key, seed), answer in zip(missing.items(), answers, strict=True)
            ]
            self._write(calls)
        finally:
            for key in missing:
                del self._pending[key]

    def _write(self, calls: list[Call]) -> None:
        try:
            self.rows.write(calls)
        except OSError as error:
            raise EngineError(f"cannot write the call log: {error}; free the disk and run again") from error
        for call in calls:
            self._known[call.id] = call
            self.tally.calls_made += 1
            self.tally.prompt_tokens += call.prompt_tokens
            self.tally.completion_tokens += call.completion_tokens


def _retrieve(task: asyncio.Task[None]) -> None:
    """Mark a failure as seen: whoever waits for the call gets it, and nobody may be waiting any more."""
    if not task.cancelled():
        task.exception()
