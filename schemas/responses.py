"""Responses: drafts and refinements. A refinement has a parent and the critiques it answers."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Record


class Response(Record):
    """One answer to a prompt."""

    table: ClassVar[str] = "responses"
    prefix: ClassVar[str] = "re"
    identity: ClassVar[tuple[str, ...]] = (
        "work_id", "item_id", "kind", "text", "parent_id", "critique_ids", "round", "index", "call_ids",
    )  # fmt: skip

    kind: Literal["draft", "refinement"] = Field(description="Written from the prompt alone, or from another response.")
    text: str = Field(description="The answer, without any thinking before it.")
    parent_id: str | None = Field(None, description="The response it refines; null for a draft.")
    draft_id: str | None = Field(None, description="The draft it descends from; null for a draft.")
    critique_ids: tuple[str, ...] = Field((), description="The critiques it was shown.")
    principle_id: str | None = Field(None, description="The principle it was revised under, if any.")
    round: int = Field(0, description="0 for a draft, then the number of refinement rounds behind it.")
    index: int = Field(0, description="Position among the samples drawn together.")
    noop: bool = Field(False, description="A refinement that equals its parent.")
