"""The contract between the runtime and whatever runs a model.

A request holds everything that reaches the model and nothing else, and is part of the key of the call (see
`synth.calls.key`: fields at their default are left out, so that a field added later leaves old logs valid). An engine
answers requests concurrently, in any order, earliest `priority` first, and knows nothing of items, logs or retries of
bad answers. A new engine is one file in `synth/engines` with a class `Engine` that keeps this contract.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Protocol

import msgspec

from schemas import Message


class Sampling(msgspec.Struct, frozen=True):
    """How text is drawn. Temperature 0 is greedy and needs no seed."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()


class Say(msgspec.Struct, frozen=True):
    """Text in the assistant's turn. If the last message is the assistant's, that turn is continued."""

    verb: ClassVar[Literal["say"]] = "say"

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()


class Choose(msgspec.Struct, frozen=True):
    """The log-probability that the assistant's turn goes on with each option, summed over spellings."""

    verb: ClassVar[Literal["choose"]] = "choose"

    messages: tuple[Message, ...]
    options: tuple[str, ...]


class Loglik(msgspec.Struct, frozen=True):
    """The log-probability of a given continuation, token by token, in any role's turn."""

    verb: ClassVar[Literal["loglik"]] = "loglik"

    messages: tuple[Message, ...]
    continuation: str
    role: Literal["user", "assistant"] = "assistant"


class Embed(msgspec.Struct, frozen=True):
    """A vector of a text: the mean of the model's last hidden states over its tokens."""

    verb: ClassVar[Literal["embed"]] = "embed"

    text: str


Request = Say | Choose | Loglik | Embed


class Answer(NamedTuple):
    """What came back. `values`: choose, one per option; loglik, one per token; embed, the vector."""

    text: str | None = None
    thought: str | None = None
    finish: Literal["stop", "length"] | None = None
    values: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Model(NamedTuple):
    """Which model: its name as the user gave it, and a fingerprint of its weights."""

    name: str
    fingerprint: str


class Engine(Protocol):
    """Runs one model."""

    name: str
    model: Model

    async def answer(self, request: Request, seeds: tuple[int | None, ...], priority: int) -> list[Answer]:
        """One answer per seed, in order; only `Say` takes more than one, and None only where nothing is drawn.

        Raises `TooLong` where the context does not suffice and `EngineError` where the engine cannot go on.
        """
        ...

    def check(self, text: str) -> str | None:
        """The first chat-control token of this model that the text contains, if any."""
        ...

    def drop_waiting(self) -> None:
        """Let requests that no model is at work on yet end in `Interrupted`."""
        ...

    async def close(self) -> None:
        """Let go of the model. Requests still unanswered are cancelled."""
        ...
