"""Refine a draft with language feedback on it, several times, and keep the refinement that uses the feedback best.

paper: Scheurer et al., Training Language Models with Language Feedback at Scale, 2023, arXiv 2303.16755
reads: prompts
writes: per prompt 1 draft, 1 critique, 5 refinements (and those they replace), 5 labels per refinement, 1 ranking
differs: the critic is a model (human in the paper); embeddings are the mean hidden state of the bound model (a
    text-similarity model in the paper); likelihoods are means per token; where all five judges agree on every
    refinement to 1e-3, the pick is random and the ranking says so; drafts end where the model ends them
"""

from statistics import fmean, pstdev
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import Critique, Judgment, Prompt, Response
from synth.engine import Sampling
from synth.ops import criticise, label, refine, respond
from synth.roles import Roles, together
from synth.text import fill, transcript

CRITIQUE = """Here is a request and an answer to it.

Request:
{prompt}

Answer:
{response}

In a few sentences, tell the author how to make the answer better. Name what is wrong, missing or unclear, and what to \
write instead. Mention only what matters. Do not write the new answer."""

REFINE = """Here is a request, a first answer to it, and feedback on that answer.

Request:
{prompt}

First answer:
{response}

Feedback:
{critique}

Write a better answer that follows the feedback. Give only the new answer, with no remark before or after it."""

DIRECT_REFINE = """Here is a request and a first answer to it.

Request:
{prompt}

First answer:
{response}

Write a better answer. Give only the new answer, with no remark before or after it."""

_CASE = """Here is a request, a first answer, feedback on it, and a new answer.

Request:
{prompt}

First answer:
{response}

Feedback:
{critique}

New answer:
{refinement}

"""

YES_NO = (
    _CASE + "Does the new answer take the feedback into account? Answer Yes or No.",
    _CASE + "Would the person who gave the feedback agree that the new answer follows it? Answer Yes or No.",
    _CASE + "Has the new answer put right what the feedback complains about? Answer Yes or No.",
)

TRUE_FALSE = (
    _CASE + "True or False: the new answer does what the feedback asks for.",
    _CASE + "True or False: each point of the feedback can be found again in the new answer.",
)


class Config(BaseModel):
    """Settings of ilf."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refinements: int = Field(5, ge=1, description="Refinements per draft (paper: 5).")
    max_resamples: int = Field(
        10, ge=0, description="Refinements drawn in place of repeated or forbidden ones, at most (cap is ours)."
    )
    forbidden: tuple[str, ...] = Field((), description="Text that a refinement should not contain.")
    with_critique: bool = Field(True, description="False is the paper's baseline: refine without feedback.")
    selection: Literal[
        "yes_no_ensemble", "random", "embedding", "embedding_lowest", "refinement_likelihood", "critique_likelihood"
    ] = Field("yes_no_ensemble", description="How the best refinement is chosen (paper: yes_no_ensemble).")
    temperature: float = Field(1.0, ge=0, le=2, description="Of drafts and refinements (paper: 1.0).")
    top_p: float = Field(0.95, gt=0, le=1, description="Of drafts and refinements (paper: 0.95).")
    max_tokens: int = Field(256, ge=1, description="Longest draft or refinement, in tokens (paper: 48, for summaries).")
    critique_max_tokens: int = Field(
        256, ge=1, description="Longest critique, in tokens (written by people in the paper)."
    )
    critique_temperature: float = Field(1.0, ge=0, le=2, description="Of critiques (written by people in the paper).")
    critique_prompt: str = Field(CRITIQUE, description="Asks the critic; {prompt} {response}.")
    refine_prompt: str = Field(REFINE, description="Asks the editor; {prompt} {response} {critique}.")
    direct_refine_prompt: str = Field(DIRECT_REFINE, description="The same without feedback; {prompt} {response}.")
    yes_no_prompts: tuple[str, ...] = Field(
        YES_NO, description="Ask the judge; answered Yes or No; {prompt} {response} {critique} {refinement} (paper: 3)."
    )
    true_false_prompts: tuple[str, ...] = Field(
        TRUE_FALSE, description="Ask the judge; answered True or False; same fields (paper: 2)."
    )


async def run(item: Prompt, roles: Roles, config: Config) -> None:
    """Draft, criticise, refine, select (paper, section 2.2 and algorithm 1)."""
    sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature, top_p=config.top_p)
    [draft] = await respond(roles.policy, item, sampling)
    case = {"prompt": transcript(item.messages), "response": draft.text}
    critique = None
    if config.with_critique:
        brief = Sampling(max_tokens=config.critique_max_tokens, temperature=config.critique_temperature)
        critique = await criticise(roles.critic, fill(config.critique_prompt, **case), draft, brief)
        case["critique"] = critique.text
    refinements = await _refine_distinctly(roles, draft, critique, case, config, sampling)
    await _select(roles, refinements, critique, case, config)


async def _refine_distinctly(
    roles: Roles, draft: Response, critique: Critique | None, case: dict[str, str], config: Config, sampling: Sampling
) -> list[Response]:
    """Fill the slots with distinct clean refinements, then clean ones, then any (the paper's resampling)."""
    request = fill(config.refine_prompt if critique else config.direct_refine_prompt, **case)
    critiques = [critique] if critique else []
    drawn = await refine(roles.editor, request, draft, critiques, sampling, config.refinements)
    while True:
        clean = [one for one in drawn if not any(text in one.text for text in config.forbidden)]
        distinct = list({one.text: one for one in reversed(clean)}.values())[::-1]
        missing = min(config.refinements - len(distinct), config.refinements + config.max_resamples - len(drawn))
        if missing <= 0:
            break
        drawn += await refine(roles.editor, request, draft, critiques, sampling, missing, first_index=len(drawn))
    ordered = [*distinct, *clean, *drawn]
    return list({one.id: one for one in ordered}.values())[: config.refinements]


async def _select(
    roles: Roles, refinements: list[Response], critique: Critique | None, case: dict[str, str], config: Config
) -> None:
    """Rank the refinements by the configured rule and decide for the best."""
    method: str = config.selection if critique else "random"
    calls: list[str] = []
    scores = [roles.draw(f"select {one.id}") / 2**63 for one in refinements]
    if critique and method == "yes_no_ensemble":
        found, calls = await _ask_ensemble(roles, refinements, critique, case, config)
        if len(found) > 1 and pstdev(found) < 1e-3:
            method = "random_after_constant_ensemble"
        else:
            scores = found
    elif critique and method != "random":
        scores, calls = await _score_baseline(roles, refinements, critique, case, config)
    best = max(range(len(scores)), key=scores.__getitem__)
    roles.write(
        Judgment,
        calls,
        kind="ranking",
        response_ids=tuple(one.id for one in refinements),
        critique_id=critique and critique.id,
        aspect=method,
        scores=tuple(scores),
        verdict=refinements[best].id,
        author="model",
    )


async def _ask_ensemble(
    roles: Roles, refinements: list[Response], critique: Critique, case: dict[str, str], config: Config
) -> tuple[list[float], list[str]]:
    """Mean over paraphrases of p(positive) / (p(positive) + p(negative)), per refinement (paper, section 2.3)."""
    asked = [(text, ("Yes", "No")) for text in config.yes_no_prompts]
    asked += [(text, ("True", "False")) for text in config.true_false_prompts]
    labels = await together(
        *(
            label(roles.judge, fill(text, **case, refinement=one.text), options, one, "follows_feedback", critique)
            for one in refinements
            for text, options in asked
        )
    )
    by_refinement = [labels[index : index + len(asked)] for index in range(0, len(labels), len(asked))]
    scores = [fmean(one.probabilities[0] for one in group) for group in by_refinement]
    return scores, [call for one in labels for call in one.call_ids]


async def _score_baseline(
    roles: Roles, refinements: list[Response], critique: Critique, case: dict[str, str], config: Config
) -> tuple[list[float], list[str]]:
    """The paper's other rules: similarity of feedback and refinement, or likelihood of one given the other."""
    if config.selection in ("embedding", "embedding_lowest"):
        target, *vectors = await together(
            roles.embedder.embed(critique.text), *(roles.embedder.embed(one.text) for one in refinements)
        )
        sign = 1 if config.selection == "embedding" else -1
        calls = [target.call_id, *(one.call_id for one in vectors)]
        return [sign * _cosine(target.vector, one.vector) for one in vectors], calls
    if config.selection == "refinement_likelihood":
        request = fill(config.refine_prompt, **case)
        likelihoods = await together(*(roles.editor.loglik(request, one.text) for one in refinements))
    else:
        requests = [fill(config.critique_prompt, prompt=case["prompt"], response=one.text) for one in refinements]
        likelihoods = await together(*(roles.critic.loglik(request, critique.text) for request in requests))
    return [fmean(one.tokens) for one in likelihoods], [one.call_id for one in likelihoods]


def _cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    norms = sum(x * x for x in a) ** 0.5 * sum(x * x for x in b) ** 0.5
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0
