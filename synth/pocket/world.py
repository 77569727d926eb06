"""The pocket world: tasks in two disjoint splits, a strict checker, and exact answers for every role.

What a recipe asks of a model (criticise, refine, judge, apply a principle) has here one exact answer computed
by code. The pocket model learns from these, and every measurement of it compares with these.
`python -m synth.pocket.world --write` writes the bundled held-out prompts to data/prompts/pocket.jsonl.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from random import Random
from typing import Literal

from synth.paths import data_dir
from synth.pocket.style import HEDGE, MAX_BRIEF_WORDS, RUDE, WORDY, Trait, Wording, wording_of
from synth.pocket.tasks import KINDS, LEVELS, Kind, Level, Task, draw

Split = Literal["train", "heldout"]
Principle = Literal["correct", "polite", "brief", "sure"]

PRINCIPLES: tuple[Principle, ...] = ("correct", "polite", "brief", "sure")
CORRECT = "Correct."
HELDOUT_SHARE = 5
BUNDLED_PER_KIND = 16

_TRAITS: dict[Principle, Trait] = {"polite": "rude", "brief": "wordy", "sure": "hedge"}
_VERDICTS: dict[Principle, tuple[str, str]] = {
    "correct": ("is right", "is wrong"),
    "polite": ("is polite", "insults the reader"),
    "brief": ("is brief", "is wordy"),
    "sure": ("is sure", "hedges"),
}


@dataclass(frozen=True)
class Check:
    """What holds of a response; `right` is about its core answer alone."""

    right: bool
    polite: bool
    brief: bool
    sure: bool

    def meets(self, principle: Principle) -> bool:
        return self.right if principle == "correct" else bool(getattr(self, principle))


def split_of(task: Task) -> Split:
    """The split a task belongs to for ever: one in HELDOUT_SHARE is held out, by a hash of its content."""
    digest = hashlib.blake2b(task.content.encode(), digest_size=8).digest()
    return "heldout" if int.from_bytes(digest) % HELDOUT_SHARE == 0 else "train"


def draw_task(rng: Random, split: Split, kind: Kind | None = None, level: Level | None = None) -> Task:
    """A random task of a split; of a random kind and level unless they are given."""
    while True:
        task = draw(rng, kind if kind else rng.choice(KINDS), level if level else rng.choice(LEVELS))
        if split_of(task) == split:
            return task


def heldout_tasks(count: int, kind: Kind, seed: int) -> list[Task]:
    """Distinct held-out tasks of one kind."""
    rng, tasks = Random(f"{seed}/{kind}"), dict[Task, None]()
    while len(tasks) < count:
        tasks[draw_task(rng, "heldout", kind)] = None
    return list(tasks)


def draft(task: Task, rng: Random, wrong: float = 0.4) -> str:
    """A careless solver's answer: wrong with this probability; rude, wordy or hedging independently of it."""
    core = task.mistake(rng) if rng.random() < wrong else task.answer
    rude = rng.choice(RUDE) if rng.random() < 0.25 else ""
    wordy = rng.choice(WORDY) if rng.random() < 0.15 else ""
    hedge = rng.choice(HEDGE) if rng.random() < 0.15 else ""
    return Wording(core, rude, wordy, hedge).text


def check(task: Task, response: str) -> Check:
    """Judges any text; garbage is wrong and never an error."""
    wording = wording_of(response)
    is_long = len(response.split()) > MAX_BRIEF_WORDS + len(task.answer.split())
    return Check(
        right=not task.faults(wording.core),
        polite=not wording.shows("rude"),
        brief=not (is_long or wording.shows("wordy")),
        sure=not wording.shows("hedge"),
    )


def critique(task: Task, response: str) -> str:
    """The exact critique of a response: what to do about each fault, without the answer itself."""
    faults = task.faults(wording_of(response).core)
    return f"Wrong: {'; '.join(faults)}." if faults else CORRECT


def edit(task: Task, response: str, given_critique: str) -> str:
    """The exact refinement, always plain: the right answer; the response's own if told it is correct."""
    return wording_of(response).core if given_critique == CORRECT else task.answer


def principle_critique(task: Task, response: str, principle: Principle) -> str:
    """The exact critique of a response under one principle."""
    if principle == "correct":
        return critique(task, response)
    return f"It {_verdict(task, response, principle)}."


def revise(task: Task, response: str, principle: Principle) -> str:
    """The exact revision under one principle: nothing else changes, so a polite revision may stay wrong."""
    if check(task, response).meets(principle):
        return response
    if principle == "correct":
        return task.answer
    return wording_of(response).without(_TRAITS[principle]).text


def prefer(task: Task, response_a: str, response_b: str, principle: Principle) -> float:
    """The probability that the first response is the better one under a principle: 1, 0, or 0.5 for a tie."""
    a, b = (check(task, response).meets(principle) for response in (response_a, response_b))
    return 0.5 + 0.5 * (a - b)


def compare(task: Task, response_a: str, response_b: str, principle: Principle, winner: Literal["A", "B"]) -> str:
    """The exact comparison in words; the winner is given, because a tie has none of its own."""
    a, b = (_verdict(task, response, principle) for response in (response_a, response_b))
    return f"A {a}. B {b}. The better answer is ({winner})."


def incorporates(task: Task, response: str, given_critique: str, refinement: str) -> bool:
    """Whether a refinement mends every point of a critique of the response and breaks nothing new."""
    before = set(task.faults(wording_of(response).core))
    after = set(task.faults(wording_of(refinement).core))
    points = set(given_critique.removeprefix("Wrong: ").removesuffix(".").split("; "))
    return after <= before - points


def is_true_critique(task: Task, response: str, given: str) -> bool:
    """Whether a critique's verdict is right and each fault it names is one; it may leave a second fault out."""
    faults = task.faults(wording_of(response).core)
    if not faults or given == CORRECT:
        return not faults and given == CORRECT
    points = given.removeprefix("Wrong: ").removesuffix(".").split("; ")
    return given.startswith("Wrong: ") and set(points) <= set(faults)


def _verdict(task: Task, response: str, principle: Principle) -> str:
    kept, broken = _VERDICTS[principle]
    return kept if check(task, response).meets(principle) else broken


def bundled_prompts() -> str:
    """The bundled held-out prompts as JSON lines, kinds in turn."""
    by_kind = [heldout_tasks(BUNDLED_PER_KIND, kind, seed=0) for kind in KINDS]
    tasks = [task for group in zip(*by_kind, strict=True) for task in group]
    return "".join(json.dumps({"prompt": task.prompt, "reference": task.answer}) + "\n" for task in tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the bundled held-out prompts.")
    parser.add_argument("--write", action="store_true", required=True, help="write data/prompts/pocket.jsonl")
    parser.parse_args()
    (data_dir() / "prompts" / "pocket.jsonl").write_text(bundled_prompts())


if __name__ == "__main__":
    main()
