"""Critiques: what is said about a response in words."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Record


class Critique(Record):
    """Language feedback on one response, on the whole of it or on a part."""

    table: ClassVar[str] = "critiques"
    prefix: ClassVar[str] = "cr"
    identity: ClassVar[tuple[str, ...]] = ("work_id", "item_id", "response_id", "scope", "text", "call_ids")

    response_id: str = Field(description="The response it speaks about.")
    text: str = Field(description="The feedback.")
    scope: Literal["holistic", "aspect", "principle", "step", "span"] = Field(description="What part it speaks about.")
    aspect: str | None = Field(None, description="Name of the aspect, for scope 'aspect'.")
    principle_id: str | None = Field(None, description="The principle, for scope 'principle'.")
    step: int | None = Field(None, description="Step, counted from 0, for scope 'step'.")
    start: int | None = Field(None, description="First character of the span, for scope 'span'.")
    end: int | None = Field(None, description="Character after the span, for scope 'span'.")
