"""Measures the pocket model in every role on held-out tasks: `python -m synth.pocket.evaluate`.

Everything is sampled as the recipes do with the model's own pack (temperature 1, critiques of ilf at 0), and runs
through Burnish's own engine. The critic, editor
and judge see the model's own drafts; where a wrong answer is needed and the draft is right, a generated mistake
stands in. Exit status 1 if a measurement misses its threshold.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from random import Random

from synth.engine import Choose, Engine, Sampling, Say
from synth.engines import open_engine
from synth.paths import data_dir
from synth.pocket import world
from synth.pocket.card import fill_measured
from synth.pocket.corpus import Pack
from synth.pocket.style import HEDGE, RUDE, WORDY, Wording, wording_of
from synth.pocket.tasks import KINDS, Kind, Task
from synth.pocket.world import PRINCIPLES, Principle
from synth.text import fill

SEED = 7
SAMPLING = Sampling(max_tokens=64)
MANNERS: tuple[Principle, ...] = ("polite", "brief", "sure")


@dataclass(frozen=True)
class Measure:
    """One thing to measure and the range its share of successes must lie in; `least` 0 asks for nothing."""

    name: str
    least: float = 0.0
    most: float = 1.0

    @property
    def wanted(self) -> str:
        if self.most < 1:
            return f"{self.least:.0%} to {self.most:.0%}"
        return f"at least {self.least:.0%}" if self.least else "none"


@dataclass(frozen=True)
class Tally:
    """Successes among trials."""

    right: int
    trials: int

    @property
    def share(self) -> float:
        return self.right / self.trials

    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        z, n, p = 1.96, self.trials, self.share
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def meets(self, measure: Measure) -> bool:
        return measure.least <= self.share <= measure.most

    def may_meet(self, measure: Measure) -> bool:
        """Whether so few trials leave it possible that the measure is met."""
        low, high = self.interval()
        return high >= measure.least and low <= measure.most


@dataclass(frozen=True)
class Subject:
    """The model under test, with its prompts; a text's seed is a hash of its prompt."""

    engine: Engine
    pack: Pack

    async def say(self, prompt: str, sampling: Sampling = SAMPLING) -> str:
        request = Say(({"role": "user", "content": prompt},), sampling)
        seed = int.from_bytes(blake2b(prompt.encode(), digest_size=7).digest())
        [answer] = await self.engine.answer(request, (seed,), 0)
        return (answer.text or "").strip()

    async def choose(self, prompt: str, first: str, second: str) -> float:
        """The probability of the first of two options."""
        request = Choose(({"role": "user", "content": prompt},), (first, second))
        [answer] = await self.engine.answer(request, (None,), 0)
        return 1 / (1 + math.exp(answer.values[1] - answer.values[0]))


@dataclass(frozen=True)
class Case:
    """A held-out task, the model's draft for it, and a wrong answer: the draft itself if it is wrong."""

    task: Task
    draft: str
    wrong: str
    rng: Random


async def draft(subject: Subject, case: Case) -> bool:
    return world.check(case.task, case.draft).right


async def critique(subject: Subject, case: Case) -> bool:
    return world.is_true_critique(case.task, case.draft, await _criticise(subject, case.task, case.draft))


async def critique_exactly(subject: Subject, case: Case) -> bool:
    return await _criticise(subject, case.task, case.draft) == world.critique(case.task, case.draft)


async def _criticise(subject: Subject, task: Task, response: str) -> str:
    sampling = Sampling(SAMPLING.max_tokens, subject.pack.prompts["ilf"]["critique_temperature"])
    return await subject.say(subject.pack.ilf("critique_prompt", prompt=task.prompt, response=response), sampling)


async def refine(subject: Subject, case: Case) -> bool:
    given = world.critique(case.task, case.wrong)
    return await _refine(subject, case, given)


async def refine_after_own_critique(subject: Subject, case: Case) -> bool:
    return await _refine(subject, case, await _criticise(subject, case.task, case.wrong))


async def refine_directly(subject: Subject, case: Case) -> bool:
    prompt = subject.pack.ilf("direct_refine_prompt", prompt=case.task.prompt, response=case.wrong)
    return world.check(case.task, await subject.say(prompt)).right


async def _refine(subject: Subject, case: Case, given: str) -> bool:
    values = {"prompt": case.task.prompt, "response": case.wrong, "critique": given}
    return world.check(case.task, await subject.say(subject.pack.ilf("refine_prompt", **values))).right


async def judge_refinements(subject: Subject, case: Case) -> bool:
    """Whether the mean of the five judges puts a right refinement before a wrong one."""
    other = case.task.mistake(case.rng) if case.rng.random() < 0.5 else wording_of(case.wrong).core
    right, wrong = await _ensemble(subject, case, case.task.answer), await _ensemble(subject, case, other)
    return right > wrong


async def _ensemble(subject: Subject, case: Case, refinement: str) -> float:
    given = world.critique(case.task, case.wrong)
    values = {"prompt": case.task.prompt, "response": case.wrong, "critique": given, "refinement": refinement}
    judges = subject.pack.ilf_judges()
    asked = [subject.choose(fill(template, **values), yes, no) for template, yes, no in judges]
    return sum(await asyncio.gather(*asked)) / len(judges)


async def compare_by_drawn(subject: Subject, case: Case, better_first: bool) -> bool:
    """Under one of the constitution's four principles, drawn as constitutional_ai draws it."""
    return await compare(subject, case, better_first, case.rng.choice(PRINCIPLES))


async def compare(subject: Subject, case: Case, better_first: bool, principle: Principle = "correct") -> bool:
    better, worse = _pair(case, principle)
    a, b = (better, worse) if better_first else (worse, better)
    values = {"prompt": case.task.prompt, "response_a": a, "response_b": b}
    prompt = subject.pack.constitutional("comparison_prompt", principle, **values)
    return (await subject.choose(prompt, "A", "B") > 0.5) == better_first


async def reason(subject: Subject, case: Case) -> bool:
    """Whether the reasoning ends in the right verdict, in the form that a recipe looks for."""
    better_first = case.rng.random() < 0.5
    better, worse = _pair(case, "correct")
    a, b = (better, worse) if better_first else (worse, better)
    values = {"prompt": case.task.prompt, "response_a": a, "response_b": b}
    said = await subject.say(subject.pack.constitutional("reasoning_prompt", "correct", **values))
    return said.endswith(f"The better answer is ({'A' if better_first else 'B'}).")


async def apply_principle(subject: Subject, case: Case) -> bool:
    """Whether a lapse of manners, or its absence, is both criticised and mended exactly."""
    principle = case.rng.choice(MANNERS)
    response = case.rng.choice(_pair(case, principle))
    values = {"prompt": case.task.prompt, "response": response}
    said = await subject.say(subject.pack.constitutional("critique_prompt", principle, **values))
    prompt = subject.pack.constitutional("revision_prompt", principle, critique=said, **values)
    wanted = world.principle_critique(case.task, response, principle)
    return said == wanted and await subject.say(prompt) == world.revise(case.task, response, principle)


def _pair(case: Case, principle: Principle) -> tuple[str, str]:
    """A better and a worse response under a principle: the draft against its like, or a right against a wrong one."""
    if principle == "correct":
        right = case.draft if case.draft != case.wrong else case.task.answer
        return right, case.wrong
    core = wording_of(case.draft).core
    worse = {
        "polite": Wording(core, rude=case.rng.choice(RUDE)),
        "brief": Wording(core, wordy=case.rng.choice(WORDY)),
        "sure": Wording(core, hedge=case.rng.choice(HEDGE)),
    }
    return core, worse[principle].text


Trial = Callable[[Subject, Case], Awaitable[bool]]

TRIALS: Mapping[Measure, Trial] = {
    Measure("draft right", 0.40, 0.75): draft,
    Measure("critique right: verdict and named faults true", 0.70): critique,
    Measure("critique exactly right, no fault left out"): critique_exactly,
    Measure("refinement right, given the exact critique", 0.85): refine,
    Measure("refinement right, given its own critique"): refine_after_own_critique,
    Measure("refinement right, given no critique"): refine_directly,
    Measure("five judges prefer the right refinement"): judge_refinements,
    Measure("comparison right by a drawn principle, better first", 0.80): partial(compare_by_drawn, better_first=True),
    Measure("comparison right by a drawn principle, better second", 0.80): partial(
        compare_by_drawn, better_first=False
    ),
    Measure("comparison by the principle correct alone, better first"): partial(compare, better_first=True),
    Measure("comparison by the principle correct alone, better second"): partial(compare, better_first=False),
    Measure("comparison by the principle correct alone, after reasoning"): reason,
    Measure("manners criticised and mended exactly"): apply_principle,
}

Results = dict[Measure, dict[Kind, Tally]]


async def examine(engine: Engine, tasks_per_kind: int, seed: int = SEED) -> Results:
    """Every trial on the same held-out tasks of each kind."""
    subject = Subject(engine, Pack.load())
    results: Results = {measure: {} for measure in TRIALS}
    for kind in KINDS:
        tasks = world.heldout_tasks(tasks_per_kind, kind, seed)
        cases = await asyncio.gather(*(_case(subject, task) for task in tasks))
        for measure, trial in TRIALS.items():
            outcomes = await asyncio.gather(*(trial(subject, case) for case in cases))
            results[measure][kind] = Tally(sum(outcomes), len(outcomes))
    return results


async def _case(subject: Subject, task: Task) -> Case:
    rng, response = Random(f"{SEED}/{task.prompt}"), await subject.say(task.prompt)
    wrong = Wording(task.mistake(rng)).text if world.check(task, response).right else response
    return Case(task, response, wrong, rng)


def overall(tallies: Mapping[Kind, Tally]) -> Tally:
    return Tally(sum(tally.right for tally in tallies.values()), sum(tally.trials for tally in tallies.values()))


def table(results: Results) -> str:
    """A Markdown table of shares with their 95 % intervals."""
    lines = [f"| role | {' | '.join(KINDS)} | all | wanted | met |", f"|{'---|' * (len(KINDS) + 4)}"]
    for measure, tallies in results.items():
        total = overall(tallies)
        met = ("yes" if total.meets(measure) else "**no**") if measure.least else ""
        cells = [_cell(tallies[kind]) for kind in KINDS]
        lines.append(f"| {measure.name} | {' | '.join(cells)} | {_cell(total)} | {measure.wanted} | {met} |")
    return "\n".join(lines)


def _cell(tally: Tally) -> str:
    low, high = tally.interval()
    return f"{100 * tally.share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the pocket model on held-out tasks.")
    parser.add_argument("--model", default="pocket", help="pocket, or hf:FOLDER (default: %(default)s)")
    parser.add_argument("--n", type=int, default=200, help="tasks of each kind (default: %(default)s)")
    parser.add_argument("--card", action="store_true", help="write the table into the pocket model's card")
    options = parser.parse_args()
    results = asyncio.run(_examine(options.model, options.n))
    text = (
        table(results)
        + f"\n\n{options.n} held-out tasks of each kind, sampled as the recipes do; 95 % intervals in brackets."
    )
    print(text)
    if options.card:
        fill_measured(data_dir() / "pocket", text)
    sys.exit(not all(overall(tallies).meets(measure) for measure, tallies in results.items()))


async def _examine(model: str, tasks_per_kind: int) -> Results:
    engine = open_engine(model)
    try:
        return await examine(engine, tasks_per_kind)
    finally:
        await engine.close()


if __name__ == "__main__":
    main()
