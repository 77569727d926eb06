"""Shared verbs of recipes: each asks a role something and writes the typed record of its answer."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Critique, Judgment, Principle, Prompt, Response
from synth.engine import Sampling
from synth.roles import Conversation, Role


async def respond(role: Role, prompt: Prompt, sampling: Sampling, n: int = 1) -> list[Response]:
    """n drafts of an answer to the prompt."""
    replies = await role.say(prompt.messages, sampling, n)
    return [
        role.roles.write(Response, [reply.call_id], reply.model, kind="draft", text=reply.text, index=reply.index)
        for reply in replies
    ]


async def criticise(
    role: Role, question: Conversation, response: Response, sampling: Sampling, principle: Principle | None = None
) -> Critique:
    """What the role answers to `question` about the response: on all of it, or on a principle."""
    [reply] = await role.say(question, sampling)
    return role.roles.write(
        Critique,
        [reply.call_id],
        reply.model,
        response_id=response.id,
        text=reply.text,
        scope="principle" if principle else "holistic",
        principle_id=principle and principle.id,
    )


async def refine(
    role: Role,
    request: Conversation,
    response: Response,
    critiques: Sequence[Critique],
    sampling: Sampling,
    n: int = 1,
    first_index: int = 0,
    principle: Principle | None = None,
) -> list[Response]:
    """n refinements of a response as `request` asks for them. One that equals its parent is marked `noop`."""
    replies = await role.say(request, sampling, n)
    return [
        role.roles.write(
            Response,
            [reply.call_id],
            reply.model,
            kind="refinement",
            text=reply.text,
            parent_id=response.id,
            draft_id=response.draft_id or response.id,
            critique_ids=tuple(critique.id for critique in critiques),
            principle_id=principle and principle.id,
            round=response.round + 1,
            index=first_index + reply.index,
            noop=reply.text == response.text,
        )
        for reply in replies
    ]


async def label(
    role: Role, question: str, options: Sequence[str], response: Response, aspect: str, critique: Critique | None = None
) -> Judgment:
    """Which of the options the role gives as its answer about a response, with their probabilities."""
    choice = await role.choose(question, options)
    return role.roles.write(
        Judgment,
        [choice.call_id],
        choice.model,
        kind="label",
        response_ids=(response.id,),
        critique_id=critique and critique.id,
        aspect=aspect,
        options=choice.options,
        probabilities=choice.probabilities,
        verdict=_likeliest(choice.options, choice.probabilities),
        author="model",
    )


async def compare(
    role: Role,
    question: Conversation,
    shown: tuple[Response, Response],
    principle: Principle,
    clamp: tuple[float, float] = (0.0, 1.0),
    rationale: str | None = None,
    calls: Sequence[str] = (),
) -> Judgment:
    """One look at two responses shown as A and B: the probability of each, clamped to the given range."""
    choice = await role.choose(question, ("A", "B"))
    p_first = min(max(choice.probabilities[0], clamp[0]), clamp[1])
    probabilities = (p_first, 1 - p_first)
    return role.roles.write(
        Judgment,
        [*calls, choice.call_id],
        choice.model,
        kind="comparison",
        response_ids=(shown[0].id, shown[1].id),
        principle_id=principle.id,
        options=choice.options,
        probabilities=probabilities,
        verdict=_likeliest(choice.options, probabilities),
        rationale=rationale,
        author="model",
    )


def _likeliest(options: Sequence[str], probabilities: Sequence[float]) -> str | None:
    top = max(probabilities)
    winners = [option for option, p in zip(options, probabilities, strict=True) if p == top]
    return winners[0] if len(winners) == 1 else None
