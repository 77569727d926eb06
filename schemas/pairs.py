"""Pairs: an item for recipes that start from feedback already in the store."""

from typing import ClassVar

from pydantic import Field

from schemas.prompts import Message
from schemas.row import Row


class Pair(Row):
    """Two responses to one prompt of which one is preferred, with what was said about each."""

    prefix: ClassVar[str] = "pa"
    identity: ClassVar[tuple[str, ...]] = (
        "recipe", "source", "chosen_id", "rejected_id", "chosen_critique", "rejected_critique",
    )  # fmt: skip

    prompt_id: str = Field(description="The prompt both answer.")
    messages: tuple[Message, ...] = Field(description="The prompt's conversation.")
    chosen_id: str = Field(description="The preferred response.")
    chosen: str = Field(description="Its text.")
    chosen_critique: str | None = Field(None, description="What was said about it, if anything.")
    rejected_id: str = Field(description="The other response.")
    rejected: str = Field(description="Its text.")
    rejected_critique: str | None = Field(None, description="What was said about it, if anything.")
    p_chosen: float = Field(description="Probability that chosen is the better one.")
    source: str = Field(description="The kind of signal: comparison, ranking, score, refinement …")
    recipe: str = Field(description="The recipe the signal comes from.")
