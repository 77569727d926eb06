"""Chains: ordered pieces of text to train on, each with a loss flag."""

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import TypedDict

from schemas.row import Record


class Segment(TypedDict):
    """A piece of a chain. Concatenating the texts of all segments gives the chain as plain text."""

    kind: Literal["prompt", "marker", "critique", "response"]
    text: str
    loss: bool


class Chain(Record):
    """A sequence of responses with feedback between them, as Chain of Hindsight trains on."""

    table: ClassVar[str] = "chains"
    prefix: ClassVar[str] = "ch"
    identity: ClassVar[tuple[str, ...]] = ("work_id", "item_id", "template", "segments")

    template: str = Field(description="Which direction: worse_to_better, better_to_worse, better, worse …")
    segments: tuple[Segment, ...] = Field(description="The pieces in order; loss says which ones are trained on.")
    response_ids: tuple[str, ...] = Field(description="The responses in the chain, in order of appearance.")
