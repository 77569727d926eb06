"""Judgments: what is decided about one or more responses, with the whole probability and the order shown."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Record


class Judgment(Record):
    """One look of one author at one or more responses.

    A comparison made in both orders is two rows; the `preferences` view averages them.
    """

    table: ClassVar[str] = "judgments"
    prefix: ClassVar[str] = "ju"
    identity: ClassVar[tuple[str, ...]] = (
        "work_id", "item_id", "kind", "response_ids", "critique_id", "principle_id", "aspect", "call_ids",
    )  # fmt: skip

    kind: Literal["score", "comparison", "ranking", "label", "step", "likelihood", "hindsight"] = Field(
        description="What was asked: a number per response, a choice between two, an order, a label, and so on."
    )
    response_ids: tuple[str, ...] = Field(description="The responses judged, in the order shown.")
    critique_id: str | None = Field(None, description="The critique the judge was shown, if any.")
    principle_id: str | None = Field(None, description="The principle judged by, if any.")
    aspect: str | None = Field(None, description="What was judged, or by which rule a ranking was made.")
    options: tuple[str, ...] = Field((), description="The answers the judge could choose from.")
    probabilities: tuple[float, ...] = Field((), description="Probability of each option; sums to 1.")
    scores: tuple[float, ...] = Field((), description="One number per response, higher is better.")
    verdict: str | None = Field(
        None, description="The option, label or, for a ranking, response id decided on; null for a tie."
    )
    rationale: str | None = Field(None, description="The judge's reasoning in words, if it was asked for.")
    author: Literal["model", "verifier", "human"] = Field(description="Who judged.")
