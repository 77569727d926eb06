"""Drives recipes over items: a window of them in flight, each to its end, its records committed as one.

There is no stage barrier: as soon as one item is finished the next one starts, and the engine always sees the calls
of the whole window, earliest items first. An item ends in its records, or in a reject, or, when the run stops, in
nothing (its calls are in the log, so nothing is paid again).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import BaseModel

from schemas import Item, Pair, Prompt, Row, content_id
from synth.calls import CallLog
from synth.catalogue import Recipe
from synth.engine import Engine
from synth.errors import BurnishError, EngineError, Interrupted, ItemRejected, RunFailed
from synth.roles import Roles, begin_item

# Raised by hand when the same calls come to give other records: recipes' own files are part of `work_id` anyway.
DERIVATION = 1
# The share of rejects says little before this many items.
JUDGED_FROM = 50


@dataclass(frozen=True)
class Work:
    """A recipe with all that its results depend on besides the item."""

    recipe: Recipe
    config: BaseModel
    engines: Mapping[str, Engine]
    seed: int
    id: str

    @classmethod
    def of(cls, recipe: Recipe, config: BaseModel, engines: Mapping[str, Engine], seed: int) -> Work:
        """Binds the recipe's roles to engines and derives the work's id."""
        bound = {role: engines.get(role) or engines["default"] for role in recipe.roles}
        models = {role: list(engine.model) for role, engine in bound.items()}
        settings = config.model_dump(mode="json")
        return cls(
            recipe, config, bound, seed, content_id("wk", DERIVATION, recipe.fingerprint, settings, models, seed)
        )


class Job(NamedTuple):
    """One recipe on one item."""

    work: Work
    item: Prompt | Pair
    priority: int


@dataclass
class Outcome:
    """How many items have ended which way."""

    max_reject_share: float
    done: int = 0
    rejected: int = 0

    @property
    def reject_share(self) -> float:
        ended = self.done + self.rejected
        return self.rejected / ended if ended else 0.0

    def failure(self, judged_from: int = 1) -> RunFailed | None:
        """Why the run fails, if its share of rejects is beyond the bound."""
        if self.done + self.rejected < judged_from or self.reject_share <= self.max_reject_share:
            return None
        return RunFailed(
            f"{self.rejected} of {self.done + self.rejected} items were rejected, the bound is "
            f"{self.max_reject_share:.0%}; see `SELECT reason, detail, raw FROM rejects`, or raise --max-reject-share"
        )


async def run_jobs(jobs: Iterable[Job], log: CallLog, outcome: Outcome, window: int) -> None:
    """Run all jobs; when it returns, what they led to is written, and no call is in flight."""
    slots = asyncio.Semaphore(window)

    async def run(job: Job) -> None:
        try:
            _record(await run_job(job, log), log, outcome)
        except Interrupted:
            pass
        except EngineError as error:
            log.stop(error)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            await slots.acquire()
            if log.stopped_by:
                break
            group.create_task(run(job))
    await log.drain()


async def run_job(job: Job, log: CallLog) -> list[Row]:
    """The rows that one recipe makes of one item: records, rejects, and the mark that it is finished."""
    work, item = job.work, job.item
    roles = Roles(work.engines, log, item, work.recipe.name, work.id, work.seed, job.priority)
    begin_item()
    status: Literal["done", "reject"] = "done"
    try:
        _refuse_control_tokens(item, work.engines)
        await work.recipe.run(item, roles, work.config)
    except ItemRejected as error:
        status = "reject"
        roles.reject(error.reason, error.detail, error.raw, error.call_ids)
    except BurnishError:
        raise
    except Exception as error:  # noqa: BLE001 - the one boundary: whatever a recipe raises is its item's reject
        status = "reject"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} ({frame.name}, line {frame.lineno})"
        roles.reject("error", detail, "")
    mark = Item(item_id=item.id, recipe=work.recipe.name, work_id=work.id, run_id=log.run_id, status=status)
    return [*(roles.records if status == "done" else ()), *roles.rejects, mark]


def _refuse_control_tokens(item: Prompt | Pair, engines: Mapping[str, Engine]) -> None:
    for message in item.messages:
        for engine in engines.values():
            if token := engine.check(message["content"]):
                detail = f"the prompt contains {token!r}, a control token of {engine.model.name}; take it out"
                raise ItemRejected("control_tokens", detail, message["content"])


def _record(rows: list[Row], log: CallLog, outcome: Outcome) -> None:
    try:
        log.rows.write(rows)
    except OSError as error:
        raise EngineError(f"cannot write the store: {error}; free the disk and run again") from error
    if rejected := any(isinstance(row, Item) and row.status == "reject" for row in rows):
        outcome.rejected += 1
    outcome.done += not rejected
    if failure := outcome.failure(JUDGED_FROM):
        log.stop(failure)
