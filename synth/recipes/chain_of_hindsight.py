"""Turn feedback already in the store into chains of worse and better answers, each introduced by what was said of it.

paper: Liu, Sferrazza, Abbeel, Chain of Hindsight Aligns Language Models with Feedback, 2023, arXiv 2302.02676
reads: pairs (any preference in the store: compared, ranked, scored or refined responses, with their critiques)
writes: per pair 1 chain for each template
differs: feedback in words, where the store has it, stands after the marker (the paper's markers are fixed phrases); a
    chain holds two responses; multi-turn prompts appear once; the forgetful mask is left to the trainer
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import Chain, Pair, Segment
from synth.roles import Roles
from synth.text import transcript

# Pairs of phrases that introduce the better and the worse answer. The first is the default; all are drawn from
# when `paraphrase` is on (the published code calls this direction "aux").
MARKERS = (
    ("A good answer: ", "A bad answer: "),
    ("This answer helps: ", "This answer does not help: "),
    ("A reader would like this: ", "A reader would dislike this: "),
    ("Preferred: ", "Not preferred: "),
    ("Here is a strong answer: ", "Here is a weak answer: "),
    ("Done well: ", "Done badly: "),
)

Template = Literal["better", "worse", "better_to_worse", "worse_to_better"]


class Config(BaseModel):
    """Settings of chain_of_hindsight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    templates: tuple[Template, ...] = Field(
        ("better", "worse", "better_to_worse", "worse_to_better"),
        description="Which chains to write (published code: p, n, pn, np; the paper describes worse_to_better).",
    )
    paraphrase: bool = Field(False, description="Draw the marker phrases per chain (published code: aux).")
    markers: tuple[tuple[str, str], ...] = Field(
        MARKERS, min_length=1, description="Phrases before a better and a worse answer."
    )
    with_critique: bool = Field(True, description="Put what was said about a response after its marker.")
    min_p_chosen: float = Field(0.5, ge=0.5, le=1, description="Leave out pairs less certain than this.")
    sources: tuple[str, ...] = Field((), description="Kinds of preference to read; none given means all.")


async def run(item: Pair, roles: Roles, config: Config) -> None:
    """One chain per template (paper, section 3.1)."""
    if item.p_chosen < config.min_p_chosen or (config.sources and item.source not in config.sources):
        return
    for template in config.templates:
        chosen_marker, rejected_marker = _markers(roles, template, config)
        better = (item.chosen_id, chosen_marker, item.chosen_critique, item.chosen)
        worse = (item.rejected_id, rejected_marker, item.rejected_critique, item.rejected)
        order = {
            "better": [better],
            "worse": [worse],
            "better_to_worse": [better, worse],
            "worse_to_better": [worse, better],
        }[template]
        segments = [_segment("prompt", transcript(item.messages), loss=False)]
        for _, marker, critique, text in order:
            segments.append(_segment("marker", f"\n\n{marker}", loss=False))
            if critique and config.with_critique:
                segments.append(_segment("critique", f"({critique}) ", loss=False))
            segments.append(_segment("response", text, loss=True))
        roles.write(Chain, template=template, segments=tuple(segments), response_ids=tuple(part[0] for part in order))


def _markers(roles: Roles, template: str, config: Config) -> tuple[str, str]:
    if not config.paraphrase:
        return config.markers[0]
    return config.markers[roles.draw(f"marker {template}") % len(config.markers)]


def _segment(kind: Literal["prompt", "marker", "critique", "response"], text: str, *, loss: bool) -> Segment:
    return {"kind": kind, "text": text, "loss": loss}
