"""Rows of the exported datasets, one model per training format. Column names are those TRL's trainers read."""

from pydantic import BaseModel, ConfigDict, Field

from schemas.chains import Segment
from schemas.prompts import Message


class ExportRow(BaseModel):
    """What every exported row carries: the conversation and where the row comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: tuple[Message, ...] = Field(description="The conversation before the answer.")
    recipe: str = Field(description="The recipe that made the row.")
    model: str | None = Field(description="The model that wrote the answer.")
    prompt_id: str = Field(description="The prompt in the store.")


class SftRow(ExportRow):
    """Supervised fine-tuning: a prompt and the answer to imitate."""

    completion: tuple[Message, ...] = Field(description="The answer, as one assistant turn.")
    round: int = Field(description="0 for a draft, then the number of refinement rounds behind the answer.")
    response_id: str = Field(description="The response in the store.")


class PreferenceRow(ExportRow):
    """Preference training: two answers, the better one first."""

    chosen: tuple[Message, ...] = Field(description="The better answer, as one assistant turn.")
    rejected: tuple[Message, ...] = Field(description="The other answer, as one assistant turn.")
    p_chosen: float = Field(description="Probability that chosen is better; 1.0 is a hard label.")
    margin: float = Field(description="How much better, on the signal's own scale.")
    source: str = Field(description="The signal: comparison, ranking, score, refinement …")
    author: str = Field(description="Who judged: model, verifier or human.")
    chosen_id: str = Field(description="The better response in the store.")
    rejected_id: str = Field(description="The other response in the store.")


class UnpairedRow(ExportRow):
    """KTO and its kin: one answer and whether it is desirable."""

    completion: tuple[Message, ...] = Field(description="The answer, as one assistant turn.")
    label: bool = Field(description="True for a desirable answer.")
    source: str = Field(description="The signal the label comes from.")
    response_id: str = Field(description="The response in the store.")


class ChainRow(ExportRow):
    """Chains of hindsight: segments with a loss flag each."""

    template: str = Field(description="The direction of the chain.")
    segments: tuple[Segment, ...] = Field(description="Pieces in order; train on those with loss true.")
    text: str = Field(description="All segments concatenated.")
    chain_id: str = Field(description="The chain in the store.")
