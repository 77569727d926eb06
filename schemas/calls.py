"""Calls: every completed model call, raw, before any parsing."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Row


class Call(Row):
    """One completed call. Its id is the hash of everything that reaches the model (see `synth.calls.key`)."""

    table: ClassVar[str] = "calls"
    prefix: ClassVar[str] = "ca"
    identity: ClassVar[tuple[str, ...]] = ()

    verb: Literal["say", "choose", "loglik", "embed"] = Field(description="What was asked of the model.")
    model: str = Field(description="The model's name as the user gave it.")
    fingerprint: str = Field(description="Hash of the weights, or the server's revision of them.")
    role: str = Field(description="The role the model played.")
    recipe: str = Field(description="The recipe that asked first.")
    item_id: str = Field(description="The item it was asked for.")
    run_id: str = Field(description="The run that paid for it.")
    request: str = Field(description="JSON of the request: messages, sampling, options.")
    seed: int | None = Field(description="Seed of this sample; null where nothing is sampled.")
    text: str | None = Field(None, description="The text said, raw; null for other verbs.")
    thought: str | None = Field(None, description="What a reasoning model thought before the text.")
    finish: Literal["stop", "length"] | None = Field(None, description="Why the text ended; null for other verbs.")
    values: tuple[float, ...] = Field(
        (), description="choose: log-probability per option; loglik: per token; embed: the vector."
    )
    prompt_tokens: int = Field(description="Tokens read.")
    completion_tokens: int = Field(description="Tokens written; 0 for verbs that write none.")
    engine: str = Field(description="The engine that ran it.")
    started_at: datetime = Field(description="When it was handed to the engine (UTC).")
    seconds: float = Field(description="From hand-over to answer.")
