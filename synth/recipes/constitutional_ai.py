"""Criticise and revise a draft by principles of a constitution, then compare two fresh answers by such a principle.

paper: Bai et al., Constitutional AI: Harmlessness from AI Feedback, 2022, arXiv 2212.08073
reads: prompts
writes: per prompt 1 draft, 4 critiques, 4 refinements (one per round); per pair 2 drafts, 2 comparisons (both orders)
differs: one model plays all parts unless roles are bound apart (the paper draws pairs from the model trained on the
    first phase: bind it to `policy` and set rounds to 0); pairs are judged in both orders and averaged; a pair of equal
    texts is not judged; a critique that is empty or cut off rejects the item (the paper does not say)
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import Message, Principle, Prompt, Response
from synth.engine import Sampling
from synth.errors import ItemRejected
from synth.ops import compare, criticise, refine, respond
from synth.roles import Roles, together
from synth.text import fill, transcript

EXAMPLES = """Here is how a conversation, a review of its last answer and a rewrite may look.

Conversation:
How do I get rid of the wasps under my roof? My neighbour says petrol.

Answer:
Yes, pour petrol into the nest and light it.

Review asked for: Say what in the answer could hurt someone.
Review: Burning petrol under a roof can set the house on fire and burn the person who does it. The answer repeats the \
neighbour's idea and gives no safe way.

Rewrite asked for: Rewrite the answer so that nobody gets hurt.
Rewrite: Please leave out the petrol, since a fire under the roof spreads in minutes. A pest controller removes a nest \
in one visit; until then, keep the windows near it shut.

"""

CRITIQUE = """{examples}Conversation:
{prompt}

Answer:
{response}

Review asked for: {critique_request}
Reply with the review only."""

REVISION = """{examples}Conversation:
{prompt}

Answer:
{response}

Review: {critique}

Rewrite asked for: {revision_request}
Reply with the rewritten answer only."""

DIRECT_REVISION = """Conversation:
{prompt}

Answer:
{response}

Rewrite asked for: {revision_request}
Reply with the rewritten answer only."""

COMPARISON = """Conversation:
{prompt}

Two possible answers:
(A) {response_a}
(B) {response_b}

Which of the two fits this rule better: {principle}
Reply with the letter A or B only."""

REASONING = """Conversation:
{prompt}

Two possible answers:
(A) {response_a}
(B) {response_b}

Which of the two fits this rule better: {principle}
Think it through in a few sentences. Then end with exactly this sentence, with the right letter: \
The better answer is (A)."""

VERDICT = "The better answer is ("


class Config(BaseModel):
    """Settings of constitutional_ai."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    principles: tuple[Principle, ...] = Field(min_length=1, description="The constitution's, from --constitution.")
    rounds: int = Field(4, ge=0, description="Critique-revision rounds (paper: 4).")
    with_critique: bool = Field(True, description="False revises directly, the paper's ablation.")
    pairs: int = Field(1, ge=0, description="Pairs of answers to compare per prompt (paper: 1).")
    reasoning: bool = Field(False, description="The judge reasons before it decides (the paper's chain of thought).")
    reasoning_samples: int = Field(1, ge=1, description="Reasonings to average over, per order (paper: 1, also 5).")
    clamp: tuple[float, float] | None = Field(
        None, description="Range for probabilities; none without reasoning, (0.4, 0.6) with it (paper)."
    )
    orders: Literal["both", "first"] = Field(
        "both", description="Show each pair in both orders, or in one (paper: one)."
    )
    temperature: float = Field(1.0, ge=0, le=2, description="Of all texts (paper: 1).")
    max_tokens: int = Field(256, ge=1, description="Longest text, in tokens (paper: not given).")
    examples: str = Field(EXAMPLES, description="Shown before each critique and revision (paper: 5 examples).")
    critique_prompt: str = Field(
        CRITIQUE, description="Asks the critic; {examples} {prompt} {response} {critique_request}."
    )
    revision_prompt: str = Field(
        REVISION, description="Asks the editor; {examples} {prompt} {response} {critique} {revision_request}."
    )
    direct_revision_prompt: str = Field(
        DIRECT_REVISION, description="The same without a critique; {prompt} {response} {revision_request}."
    )
    comparison_prompt: str = Field(
        COMPARISON, description="Asks the judge for A or B; {prompt} {response_a} {response_b} {principle}."
    )
    reasoning_prompt: str = Field(REASONING, description="Asks the judge to reason first; same fields.")


async def run(item: Prompt, roles: Roles, config: Config) -> None:
    """The supervised phase (paper, section 3), then the preference phase (section 4)."""
    sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature)
    prompt = transcript(item.messages)
    if config.rounds:
        [response] = await respond(roles.policy, item, sampling)
        for round in range(config.rounds):
            principle = _draw_principle(roles, config, f"round {round}")
            response = await _revise(roles, prompt, response, principle, config, sampling)
    for pair in range(config.pairs):
        drawn = await respond(roles.policy, item, sampling, n=2)
        if len(drawn) == 2 and drawn[0].text != drawn[1].text:
            await _compare(roles, prompt, (drawn[0], drawn[1]), _draw_principle(roles, config, f"pair {pair}"), config)


async def _revise(
    roles: Roles, prompt: str, response: Response, principle: Principle, config: Config, sampling: Sampling
) -> Response:
    case = {
        "examples": config.examples,
        "prompt": prompt,
        "response": response.text,
        "critique_request": principle.critique_request,
        "revision_request": principle.revision_request,
    }
    critiques = []
    request = config.direct_revision_prompt
    if config.with_critique:
        question = fill(config.critique_prompt, **case)
        critiques = [await criticise(roles.critic, question, response, sampling, principle)]
        case["critique"] = critiques[0].text
        request = config.revision_prompt
    [revised] = await refine(roles.editor, fill(request, **case), response, critiques, sampling, principle=principle)
    return revised


async def _compare(
    roles: Roles, prompt: str, pair: tuple[Response, Response], principle: Principle, config: Config
) -> None:
    shown = [pair, (pair[1], pair[0])] if config.orders == "both" else [pair]
    looks = config.reasoning_samples if config.reasoning else 1
    await together(*(_look(roles, prompt, order, principle, config) for order in shown for _ in range(looks)))


async def _look(
    roles: Roles, prompt: str, shown: tuple[Response, Response], principle: Principle, config: Config
) -> None:
    case = {
        "prompt": prompt,
        "response_a": shown[0].text,
        "response_b": shown[1].text,
        "principle": principle.text,
    }
    if not config.reasoning:
        await compare(roles.judge, fill(config.comparison_prompt, **case), shown, principle, config.clamp or (0.0, 1.0))
        return
    question = fill(config.reasoning_prompt, **case)
    sampling = Sampling(max_tokens=config.max_tokens, temperature=config.temperature)
    [reply] = await roles.judge.say(question, sampling)
    reasoning, verdict, _ = reply.text.rpartition(VERDICT)
    if not verdict:
        raise ItemRejected(
            "unparseable", f"expected {VERDICT!r} in the judge's reasoning", reply.text, (reply.call_id,)
        )
    conversation: list[Message] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": reasoning + verdict},
    ]
    clamp = config.clamp or (0.4, 0.6)
    await compare(roles.judge, conversation, shown, principle, clamp, reasoning.strip(), [reply.call_id])


def _draw_principle(roles: Roles, config: Config, purpose: str) -> Principle:
    """Each round and each pair draws its own principle (paper: independently, at random)."""
    return config.principles[roles.draw(purpose) % len(config.principles)]
