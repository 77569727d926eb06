"""What tests share: a recipe on one item with a scripted engine, and stores to write to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas import Item, Pair, Prompt, Record, Reject, Row
from synth import catalogue
from synth.calls import CallLog
from synth.engine import Request
from synth.engines.scripted import Script, ScriptedEngine
from synth.runtime import Job, Work, run_job

R = TypeVar("R", bound=Row)


class Kept(list[Row]):
    """Rows written, in order, in memory."""

    def write(self, rows: Sequence[Row]) -> None:
        self.extend(rows)


@dataclass
class Result:
    """What a recipe made of one item."""

    rows: list[Row]
    asked: dict[str, list[Request]] = field(default_factory=dict)

    def of(self, kind: type[R]) -> list[R]:
        return [row for row in self.rows if isinstance(row, kind)]

    @property
    def records(self) -> list[Record]:
        return self.of(Record)

    @property
    def reject(self) -> Reject:
        [reject] = self.of(Reject)
        return reject

    @property
    def status(self) -> str:
        [item] = self.of(Item)
        return item.status


def ask(text: str, **fields: Any) -> Prompt:
    """A prompt of one user turn."""
    return Prompt(messages=({"role": "user", "content": text},), **fields)


def run_recipe(name: str, item: Prompt | Pair, scripts: dict[str, Script], seed: int = 0, **settings: Any) -> Result:
    """Run a recipe on one item; `scripts` plays its roles. The result holds what each role was asked."""
    recipe = catalogue.load(name)
    engines = {role: ScriptedEngine(script) for role, script in scripts.items()}
    work = Work.of(recipe, catalogue.configure(recipe, settings), engines, seed)
    log = CallLog(Kept(), "ru_test")
    rows = asyncio.run(run_job(Job(work, item, 0), log))
    return Result(rows, {role: engine.asked for role, engine in engines.items()})
