"""The scripted engine: answers that a test writes down, through the same contract as a real model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from schemas import Message
from synth.engine import Answer, Choose, Embed, Loglik, Model, Request, Say

Script = Callable[[Request, int | None], str | Sequence[float]]


@dataclass
class ScriptedEngine:
    """Asks `script(request, seed)` for each answer: a text for say, option probabilities for choose, token
    log-probabilities for loglik, a vector for embed. A text that ends in "…" was cut off at its length.

    Keeps what it was asked in `asked`, in order.
    """

    script: Script
    model: Model = field(default=Model("scripted", "scripted"))
    name: str = "scripted"
    asked: list[Request] = field(default_factory=list)

    async def answer(self, request: Request, seeds: tuple[int | None, ...], priority: int) -> list[Answer]:
        self.asked.append(request)
        await asyncio.sleep(0)
        return [self._answer(request, self.script(request, seed)) for seed in seeds]

    def _answer(self, request: Request, said: str | Sequence[float]) -> Answer:
        tokens = sum(len(message["content"].split()) for message in getattr(request, "messages", ()))
        if isinstance(said, str):
            finish = "length" if said.endswith("…") else "stop"
            return Answer(text=said, finish=finish, prompt_tokens=tokens, completion_tokens=len(said.split()))  # type: ignore[arg-type]
        values = tuple(math.log(value) for value in said) if isinstance(request, Choose) else tuple(said)
        return Answer(values=values, prompt_tokens=tokens)

    def check(self, text: str) -> str | None:
        return "<|end|>" if "<|end|>" in text else None

    def drop_waiting(self) -> None:
        return

    async def close(self) -> None:
        return


def last_text(request: Request) -> str:
    """What the model reads last: the final message, or the text to embed."""
    if isinstance(request, Embed):
        return request.text
    assert isinstance(request, Say | Choose | Loglik)
    final: Message = request.messages[-1]
    return final["content"]
