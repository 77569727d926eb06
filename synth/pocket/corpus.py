"""What the pocket model learns from: conversations in every role, endless and reproducible from a seed.

The prompts are those of data/pocket/prompts.yaml, filled as a recipe fills them, so that the model answers
that pack exactly. Drafts are wrong, rude, wordy or hedging on purpose, because a policy that is always right
has nothing to learn; critiques, refinements and judgments are always right. Only train tasks occur.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Literal

import yaml

from synth.paths import data_dir
from synth.pocket import world
from synth.pocket.style import HEDGE, RUDE, WORDY, Wording, wording_of
from synth.pocket.tasks import Kind, Task
from synth.pocket.world import PRINCIPLES, Principle
from synth.text import fill

GOOD_SYSTEM, BAD_SYSTEM, PLAIN_SYSTEM = "Answer well.", "Answer badly.", "You are a helpful assistant."
TIE_SHARE = 0.12

Message = dict[str, str]


@dataclass(frozen=True)
class Conversation:
    """One training row; every assistant turn in it is learned."""

    role: str
    kind: Kind
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Pack:
    """The pocket prompt pack and constitution as loaded."""

    prompts: dict[str, dict[str, Any]]
    rules: dict[str, dict[str, str]]

    @classmethod
    def load(cls) -> "Pack":
        prompts = yaml.safe_load((data_dir() / "pocket" / "prompts.yaml").read_text())
        constitution = yaml.safe_load((data_dir() / "constitutions" / "pocket.yaml").read_text())
        return cls(prompts, {rule["id"]: rule for rule in constitution["principles"]})

    def ilf(self, name: str, **values: str) -> str:
        return fill(self.prompts["ilf"][name], **values)

    def ilf_judges(self) -> list[tuple[str, str, str]]:
        """The judge templates, each with its positive and negative answer."""
        prompts = self.prompts["ilf"]
        yes_no = [(template, "Yes", "No") for template in prompts["yes_no_prompts"]]
        return yes_no + [(template, "True", "False") for template in prompts["true_false_prompts"]]

    def constitutional(self, name: str, principle: Principle, **values: str) -> str:
        """A constitutional_ai template, filled with the principle too."""
        rule = self.rules[principle]
        values |= {"principle": rule["text"]}
        values |= {request: rule[request] for request in ("critique_request", "revision_request")}
        return fill(self.prompts["constitutional_ai"][name], **values)


def conversations(seed: int | str) -> Iterator[Conversation]:
    """An endless stream of training rows, a function of the seed alone."""
    rng, pack = Random(f"corpus/{seed}"), Pack.load()
    for row in count():
        mixture = MIXTURE if row < EARLY_ROWS else LATE_MIXTURE
        make = rng.choices(list(mixture), list(mixture.values()))[0]
        task = world.draw_task(rng, "train")
        yield Conversation(make.__name__, task.kind, tuple(make(task, rng, pack)))


def draft(task: Task, rng: Random, pack: Pack) -> list[Message]:
    return _turn(task.prompt, world.draft(task, rng))


def steered_draft(task: Task, rng: Random, pack: Pack) -> list[Message]:
    system = rng.choice((GOOD_SYSTEM, BAD_SYSTEM, PLAIN_SYSTEM))
    if system == GOOD_SYSTEM:
        response = task.answer
    elif system == BAD_SYSTEM:
        response = world.draft(task, rng, wrong=1)
    else:
        response = world.draft(task, rng)
    return [{"role": "system", "content": system}, *_turn(task.prompt, response)]


def two_drafts(task: Task, rng: Random, pack: Pack) -> list[Message]:
    return draft(world.draw_task(rng, "train"), rng, pack) + draft(task, rng, pack)


def followed_up(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response = world.draft(task, rng, wrong=0.8)
    critique = world.critique(task, response)
    second = _turn(f"Feedback: {critique}\nWrite a better answer.", world.edit(task, response, critique))
    return _turn(task.prompt, response) + second


def critique(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response = world.draft(task, rng, wrong=0.6)
    prompt = pack.ilf("critique_prompt", prompt=task.prompt, response=response)
    return _turn(prompt, world.critique(task, response))


def refine(task: Task, rng: Random, pack: Pack) -> list[Message]:
    """One in eight is told "Correct." whatever it says, so that a refinement depends on its critique."""
    response = world.draft(task, rng, wrong=0.85)
    given = world.CORRECT if rng.random() < 0.125 else world.critique(task, response)
    prompt = pack.ilf("refine_prompt", prompt=task.prompt, response=response, critique=given)
    return _turn(prompt, world.edit(task, response, given))


def direct_refine(task: Task, rng: Random, pack: Pack) -> list[Message]:
    prompt = pack.ilf("direct_refine_prompt", prompt=task.prompt, response=world.draft(task, rng, wrong=0.6))
    return _turn(prompt, task.answer)


def judge(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response, refinement = refinement_pair(task, rng)
    given = world.critique(task, response)
    template, positive, negative = rng.choice(pack.ilf_judges())
    values = {"prompt": task.prompt, "response": response, "critique": given, "refinement": refinement}
    follows = world.incorporates(task, response, given, refinement)
    return _turn(fill(template, **values), positive if follows else negative)


def principle_critique(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response, principle = world.draft(task, rng, wrong=0.6), _principle(rng)
    prompt = pack.constitutional("critique_prompt", principle, prompt=task.prompt, response=response)
    return _turn(prompt, world.principle_critique(task, response, principle))


def principle_revision(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response, principle = world.draft(task, rng, wrong=0.6), _principle(rng)
    given = world.principle_critique(task, response, principle)
    case = {"prompt": task.prompt, "response": response, "critique": given}
    return _turn(pack.constitutional("revision_prompt", principle, **case), world.revise(task, response, principle))


def direct_principle_revision(task: Task, rng: Random, pack: Pack) -> list[Message]:
    response, principle = world.draft(task, rng, wrong=0.6), _principle(rng)
    prompt = pack.constitutional("direct_revision_prompt", principle, prompt=task.prompt, response=response)
    return _turn(prompt, world.revise(task, response, principle))


def comparison(task: Task, rng: Random, pack: Pack) -> list[Message]:
    principle = _principle(rng)
    a, b = response_pair(task, rng, principle, tie=rng.random() < TIE_SHARE)
    case = {"prompt": task.prompt, "response_a": a, "response_b": b}
    return _turn(pack.constitutional("comparison_prompt", principle, **case), _winner(task, a, b, principle, rng))


def comparison_of_right(task: Task, rng: Random, pack: Pack) -> list[Message]:
    a, b = response_pair(task, rng, "correct", tie=False)
    case = {"prompt": task.prompt, "response_a": a, "response_b": b}
    return _turn(pack.constitutional("comparison_prompt", "correct", **case), _winner(task, a, b, "correct", rng))


def reasoning(task: Task, rng: Random, pack: Pack) -> list[Message]:
    principle = _principle(rng)
    a, b = response_pair(task, rng, principle, tie=rng.random() < TIE_SHARE)
    case = {"prompt": task.prompt, "response_a": a, "response_b": b}
    reply = world.compare(task, a, b, principle, _winner(task, a, b, principle, rng))
    return _turn(pack.constitutional("reasoning_prompt", principle, **case), reply)


# Which of two answers is right is learned only once their faults are: a second stretch dwells on it.
EARLY_ROWS = 51 * 4096

MIXTURE: dict[Callable[[Task, Random, Pack], list[Message]], float] = {
    draft: 16,
    steered_draft: 1,
    two_drafts: 1,
    followed_up: 1,
    critique: 20,
    refine: 17,
    direct_refine: 2,
    judge: 12,
    principle_critique: 5,
    principle_revision: 5,
    direct_principle_revision: 1,
    comparison: 15,
    reasoning: 4,
}

LATE_MIXTURE: dict[Callable[[Task, Random, Pack], list[Message]], float] = {
    draft: 11,
    steered_draft: 1,
    critique: 21,
    refine: 14,
    direct_refine: 1,
    judge: 13,
    principle_critique: 3,
    principle_revision: 4,
    comparison: 5,
    comparison_of_right: 22,
    reasoning: 5,
}


def refinement_pair(task: Task, rng: Random) -> tuple[str, str]:
    """A response, usually wrong, and a refinement: half of them right, the others unchanged or wrong."""
    response = world.draft(task, rng, wrong=0.85)
    which = rng.random()
    if which < 0.5:
        core = task.answer
    elif which < 0.65:
        core = wording_of(response).core
    else:
        core = task.mistake(rng)
    rude = rng.choice(RUDE) if rng.random() < 0.1 else ""
    return response, Wording(core, rude=rude).text


def response_pair(task: Task, rng: Random, principle: Principle, tie: bool) -> tuple[str, str]:
    """Two different responses of which one is better under the principle, or none if a tie is asked for."""
    while True:
        a, b = _response(task, rng), _response(task, rng)
        if a != b and (world.prefer(task, a, b, principle) == 0.5) == tie:
            return a, b


def _response(task: Task, rng: Random) -> str:
    core = task.mistake(rng) if rng.random() < 0.5 else task.answer
    phrases = [rng.choice(of) if rng.random() < 0.3 else "" for of in (RUDE, WORDY, HEDGE)]
    return Wording(core, *phrases).text


def _winner(task: Task, a: str, b: str, principle: Principle, rng: Random) -> Literal["A", "B"]:
    return "A" if rng.random() < world.prefer(task, a, b, principle) else "B"


def _principle(rng: Random) -> Principle:
    return rng.choices(PRINCIPLES, (3, 1, 1, 1))[0]


def _turn(prompt: str, reply: str) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
