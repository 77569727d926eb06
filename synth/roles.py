"""What a recipe is handed: roles, each a model with four verbs, and a place to write records.

`say` draws texts, `choose` gives probabilities over options, `loglik` scores a given continuation, `embed` gives a
vector. A seed derives from the run's seed, the item and the position of the `say` in the recipe (and not from when it
happened to run), so results do not depend on scheduling. Text that was cut off or is empty never reaches a recipe:
it becomes a reject.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from schemas import Call, Message, Pair, Prompt, Record, Reject
from synth.calls import Asker, CallLog
from synth.engine import Choose, Embed, Engine, Loglik, Request, Sampling, Say
from synth.errors import ItemRejected

T = TypeVar("T")
R = TypeVar("R", bound=Record)
Conversation = str | Sequence[Message]


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete text that a model said. `index` is its place among the samples asked for."""

    text: str
    index: int
    call_id: str
    model: str


class Choice(NamedTuple):
    """Options with their probabilities, which sum to 1. `mass` is the model's own probability of any of them."""

    options: tuple[str, ...]
    probabilities: tuple[float, ...]
    mass: float
    call_id: str
    model: str


class Likelihood(NamedTuple):
    """Log-probabilities (natural) of a continuation's tokens."""

    tokens: tuple[float, ...]
    call_id: str
    model: str


class Embedding(NamedTuple):
    """A vector of a text."""

    vector: tuple[float, ...]
    call_id: str
    model: str


@dataclass
class Roles:
    """All roles for one item. `roles.critic` is the model bound to the role critic in the run's configuration."""

    engines: Mapping[str, Engine]
    log: CallLog
    item: Prompt | Pair
    recipe: str
    work_id: str
    seed: int
    priority: int = 0
    records: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def __getattr__(self, name: str) -> Role:
        engines: Mapping[str, Engine] = self.__dict__.get("engines", {})
        if name.startswith("_") or not (engine := engines.get(name) or engines.get("default")):
            raise AttributeError(name)
        return Role(name, engine, self)

    def write(self, table: type[R], calls: Sequence[str] = (), model: str | None = None, **fields: Any) -> R:
        """Make a record of this item and keep it; all records of an item are stored together once it is finished."""
        prompt_id = self.item.id if isinstance(self.item, Prompt) else self.item.prompt_id
        record = table(
            prompt_id=prompt_id,
            item_id=self.item.id,
            recipe=self.recipe,
            work_id=self.work_id,
            run_id=self.log.run_id,
            model=model,
            call_ids=tuple(calls),
            **fields,
        )
        self.records.append(record)
        return record

    def reject(self, reason: str, detail: str, raw: str, calls: Sequence[str] = ()) -> Reject:
        """Keep what cannot become a record, with its reason, and go on with the item."""
        reject = Reject(
            reason=reason,
            detail=detail,
            raw=raw,
            source=self.item.source,
            line=self.item.line if isinstance(self.item, Prompt) else 0,
            item_id=self.item.id,
            recipe=self.recipe,
            work_id=self.work_id,
            run_id=self.log.run_id,
            call_ids=tuple(calls),
        )
        self.rejects.append(reject)
        return reject

    def draw(self, purpose: str) -> int:
        """A number below 2**63 that depends on the run's seed, the item and `purpose`: for choices of the recipe."""
        return derive_seed(self.seed, self.item.id, purpose)


@dataclass(frozen=True, slots=True)
class Role:
    """One model in one role, for one item."""

    name: str
    engine: Engine
    roles: Roles

    async def say(self, conversation: Conversation, sampling: Sampling, n: int = 1) -> list[Reply]:
        """Up to n complete texts, stripped. What was cut off or is empty is kept as a reject.

        A conversation that ends in the assistant's turn is continued. Raises `ItemRejected` if nothing complete came.
        """
        position = _branch.get().next_position()
        seeds: list[int | None] = [derive_seed(self.roles.seed, self.roles.item.id, position, i) for i in range(n)]
        if sampling.temperature == 0:
            seeds = [None] * n
        calls = await self._ask(Say(_messages(conversation), sampling), seeds)
        replies = [
            Reply((call.text or "").strip(), index, call.id, call.model)
            for index, call in enumerate(calls)
            if self._is_complete(call, sampling)
        ]
        if not replies:
            rejected = self.roles.rejects.pop()
            raise ItemRejected(rejected.reason, rejected.detail, rejected.raw, tuple(call.id for call in calls))
        return replies

    async def choose(self, conversation: Conversation, options: Sequence[str]) -> Choice:
        """Probabilities of the options as the assistant's next words, normalised over them."""
        [call] = await self._ask(Choose(_messages(conversation), tuple(options)), [None])
        top = max(call.values)
        weights = [math.exp(value - top) for value in call.values]
        probabilities = tuple(weight / sum(weights) for weight in weights)
        return Choice(tuple(options), probabilities, math.exp(top) * sum(weights), call.id, call.model)

    async def loglik(self, conversation: Conversation, continuation: str) -> Likelihood:
        """Log-probabilities of the tokens of an assistant's turn that says `continuation`."""
        [call] = await self._ask(Loglik(_messages(conversation), continuation), [None])
        return Likelihood(call.values, call.id, call.model)

    async def embed(self, text: str) -> Embedding:
        """A vector of the text."""
        [call] = await self._ask(Embed(text), [None])
        return Embedding(call.values, call.id, call.model)

    async def _ask(self, request: Request, seeds: Sequence[int | None]) -> list[Call]:
        asker = Asker(self.name, self.roles.recipe, self.roles.item.id, self.roles.priority)
        return await self.roles.log.ask(self.engine, request, seeds, asker)

    def _is_complete(self, call: Call, sampling: Sampling) -> bool:
        text = call.text or ""
        if call.finish == "length":
            detail = f"{self.name} did not come to an end within {sampling.max_tokens} tokens"
            self.roles.reject("truncated", detail, text, [call.id])
        elif not text.strip():
            self.roles.reject("empty", f"{self.name} said nothing", text, [call.id])
        else:
            return True
        return False


class _Branch:
    """Counts the calls of one line of execution, so that each has a position that does not depend on timing."""

    def __init__(self, path: tuple[int, ...] = ()) -> None:
        self.path = path
        self.count = 0

    def next_position(self) -> tuple[int, ...]:
        self.count += 1
        return (*self.path, self.count)


_branch: ContextVar[_Branch] = ContextVar("branch")


def begin_item() -> None:
    """Start counting positions from the first; the runtime calls this once per item."""
    _branch.set(_Branch())


async def together(*steps: Coroutine[Any, Any, T]) -> list[T]:
    """Run steps of a recipe side by side; their results in order. If one fails, the others are given up."""
    base = _branch.get().next_position()

    async def on_branch(index: int, step: Coroutine[Any, Any, T]) -> T:
        _branch.set(_Branch((*base, index)))
        return await step

    tasks = [asyncio.ensure_future(on_branch(index, step)) for index, step in enumerate(steps)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def derive_seed(*parts: object) -> int:
    """A seed below 2**63, the same for the same parts everywhere."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest()) >> 1


def _messages(conversation: Conversation) -> tuple[Message, ...]:
    if isinstance(conversation, str):
        return ({"role": "user", "content": conversation},)
    return tuple(conversation)
