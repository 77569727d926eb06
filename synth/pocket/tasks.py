"""The three kinds of pocket task: add two numbers, sort a few numbers, remove named words from a sentence.

Each task renders its prompt, knows its one right answer, names the faults of a wrong answer in words that
tell an editor what to do, and makes realistic mistakes. Removing named words is the toy task of ILF (arXiv
2303.16755).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal, Protocol

Kind = Literal["add", "sort", "remove"]
Level = Literal[1, 2, 3]

KINDS: tuple[Kind, ...] = ("add", "sort", "remove")
LEVELS: tuple[Level, ...] = (1, 2, 3)
MAX_FAULTS = 4

DETERMINERS = ("the", "one", "my", "that")
ADJECTIVES = (
    *("big", "blue", "red", "old", "small", "green", "happy", "young", "loud", "soft", "cold", "warm"),
    *("quick", "slow", "dark", "kind"),
)
NOUNS = (
    *("dog", "cat", "bird", "boy", "girl", "horse", "man", "fish", "cow", "king", "farmer", "child"),
    *("house", "tree", "river", "garden", "road", "hill"),
)
VERBS = (
    *("runs", "sleeps", "sings", "jumps", "waits", "eats", "sits", "walks", "plays", "hides", "talks"),
    "falls",
)
PLACES = ("near", "under", "behind", "with")
ADVERBS = ("today", "again", "alone", "slowly", "often", "now")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_ADD = re.compile(r"Add ([1-9][0-9]) and ([1-9][0-9])\.")
_SORT = re.compile(r"Sort these numbers: ([0-9]+(?: [0-9]+)+)\.")
_REMOVE = re.compile(r"Remove the words? ([a-z]+(?:, [a-z]+)*(?: and [a-z]+)?) from: ([a-z]+(?: [a-z]+)*)")


class Task(Protocol):
    """What every kind of task offers; a core answer is an answer with its style phrases stripped."""

    @property
    def kind(self) -> Kind: ...

    @property
    def prompt(self) -> str: ...

    @property
    def answer(self) -> str: ...

    @property
    def content(self) -> str:
        """What decides the split: the same for tasks that are solved alike, such as 4+5 and 5+4."""
        ...

    def faults(self, core: str) -> tuple[str, ...]:
        """What is wrong with a core answer, in a fixed order; empty if and only if it is the right answer."""
        ...

    def mistake(self, rng: Random) -> str:
        """A wrong core answer of a kind that a careless solver would give."""
        ...


@dataclass(frozen=True)
class Add:
    """Two two-digit numbers to add."""

    left: int
    right: int
    kind: Kind = "add"

    @property
    def prompt(self) -> str:
        return f"Add {self.left} and {self.right}."

    @property
    def answer(self) -> str:
        return str(self.left + self.right)

    @property
    def content(self) -> str:
        return f"add {min(self.left, self.right)} {max(self.left, self.right)}"

    def faults(self, core: str) -> tuple[str, ...]:
        if not _NUMBER.fullmatch(core):
            return ("give one number",)
        tens, last = divmod(self.left + self.right, 10)
        got_tens, got_last = divmod(int(core), 10)
        faults = []
        if got_last != last:
            faults.append(f"the last digit is wrong, {self._last_digits()}")
        if got_tens != tens:
            faults.append(f"the tens are wrong, {self._tens()}")
        return tuple(faults)

    def mistake(self, rng: Random) -> str:
        tens, last = divmod(self.left + self.right, 10)
        wrong_last = (last + rng.choice((-2, -1, -1, 1, 1, 2, 5))) % 10
        wrong_tens = tens + rng.choice((-1, -1, 1, 1, 2))
        if self._carry():
            wrong_tens = rng.choice((tens - 1, tens - 1, wrong_tens))
        which = rng.random()
        if which < 0.45:
            return str(10 * tens + wrong_last)
        if which < 0.85:
            return str(10 * wrong_tens + last)
        return str(10 * wrong_tens + wrong_last)

    def _carry(self) -> int:
        return (self.left % 10 + self.right % 10) // 10

    def _last_digits(self) -> str:
        left, right = self.left % 10, self.right % 10
        return f"{left}+{right}={left + right}"

    def _tens(self) -> str:
        left, right, carry = self.left // 10, self.right // 10, self._carry()
        return f"{left}+{right}+{carry}={left + right + carry}"


@dataclass(frozen=True)
class Sort:
    """A few distinct numbers to put in rising order."""

    numbers: tuple[int, ...]
    kind: Kind = "sort"

    @property
    def prompt(self) -> str:
        return f"Sort these numbers: {_spaced(self.numbers)}."

    @property
    def answer(self) -> str:
        return _spaced(sorted(self.numbers))

    @property
    def content(self) -> str:
        return f"sort {self.answer}"

    def faults(self, core: str) -> tuple[str, ...]:
        words = core.split()
        if not words or not all(map(_NUMBER.fullmatch, words)) or core != " ".join(words):
            return ("give only the numbers",)
        got = [int(word) for word in words]
        faults = [f"{number} is missing" for number in sorted(self.numbers) if number not in got]
        faults += [f"{number} is not in the list" for number in dict.fromkeys(got) if number not in self.numbers]
        faults += [f"{number} is there twice" for number in dict.fromkeys(got) if got.count(number) > 1]
        kept = [number for number in got if number in self.numbers]
        faults += [f"{b} must come before {a}" for a, b in pairwise(kept) if b < a]
        return tuple(faults[:MAX_FAULTS])

    def mistake(self, rng: Random) -> str:
        mistakes: tuple[Callable[[list[int], Random], None], ...] = (_swap, _swap, _drop, _alter)
        numbers = sorted(self.numbers)
        for make in rng.sample(mistakes, 2 if rng.random() < 0.15 else 1):
            make(numbers, rng)
        wrong = _spaced(numbers)
        return wrong if wrong != self.answer else self.mistake(rng)


@dataclass(frozen=True)
class Remove:
    """A sentence of distinct words, one to three of which are named for removal."""

    words: tuple[str, ...]
    sentence: str
    kind: Kind = "remove"

    @property
    def prompt(self) -> str:
        *others, last = self.words
        named = f"words {', '.join(others)} and {last}" if others else f"word {last}"
        return f"Remove the {named} from: {self.sentence}"

    @property
    def answer(self) -> str:
        return " ".join(word for word in self.sentence.split() if word not in self.words)

    @property
    def content(self) -> str:
        return f"remove {' '.join(sorted(self.words))} from {self.sentence}"

    def faults(self, core: str) -> tuple[str, ...]:
        if core == self.answer:
            return ()
        got, sentence, answer = core.split(), self.sentence.split(), self.answer.split()
        faults = [f"the word {word} is still there" for word in sentence if word in self.words and word in got]
        faults += [f"the word {word} must stay" for word in answer if word not in got]
        faults += [f"the word {word} is not in the sentence" for word in dict.fromkeys(got) if word not in sentence]
        faults += [f"the word {word} is there twice" for word in answer if got.count(word) > 1]
        return tuple(faults[:MAX_FAULTS]) or ("keep the order of the words",)

    def mistake(self, rng: Random) -> str:
        keep = set(self.answer.split())
        which = rng.random()
        if which < 0.60 or which >= 0.85:
            keep.add(rng.choice(self.words))
        if which >= 0.60:
            keep.discard(rng.choice(self.answer.split()))
        return " ".join(word for word in self.sentence.split() if word in keep)


def draw(rng: Random, kind: Kind, level: Level) -> Task:
    """A task of one kind; its level sets the number of carries, numbers to sort or words to remove."""
    if kind == "add":
        return _draw_add(rng, level)
    if kind == "sort":
        return Sort(_draw_numbers(rng, level + 2))
    return _draw_remove(rng, level)


def task_of(prompt: str) -> Task:
    """The task whose prompt this is; raises ValueError for any other text."""
    if match := _ADD.fullmatch(prompt):
        return Add(int(match[1]), int(match[2]))
    if match := _SORT.fullmatch(prompt):
        return Sort(tuple(map(int, match[1].split())))
    if match := _REMOVE.fullmatch(prompt):
        return Remove(tuple(re.split(", | and ", match[1])), match[2])
    raise ValueError(f"expected the prompt of a pocket task, got {prompt[:200]!r}; draw one with synth.pocket.world")


def _spaced(numbers: tuple[int, ...] | list[int]) -> str:
    return " ".join(map(str, numbers))


def _swap(numbers: list[int], rng: Random) -> None:
    if len(numbers) > 1:
        at = rng.randrange(len(numbers) - 1)
        numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]


def _drop(numbers: list[int], rng: Random) -> None:
    if len(numbers) > 1:
        del numbers[rng.randrange(len(numbers))]


def _alter(numbers: list[int], rng: Random) -> None:
    at = rng.randrange(len(numbers))
    changed = abs(numbers[at] + rng.choice((-10, -1, 1, 2, 10)))
    if changed and changed not in numbers:
        numbers[at] = changed


def _draw_add(rng: Random, level: Level) -> Add:
    while True:
        left, right = rng.randrange(10, 100), rng.randrange(10, 100)
        carries = (left % 10 + right % 10 >= 10) + (left + right >= 100)
        if carries == level - 1:
            return Add(left, right)


def _draw_numbers(rng: Random, count: int) -> tuple[int, ...]:
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers[rng.randrange(1, 10) if rng.random() < 0.4 else rng.randrange(10, 100)] = None
    return tuple(numbers)


def _draw_remove(rng: Random, level: Level) -> Remove:
    sentence = _draw_sentence(rng)
    removable = [word for word in sentence if word not in DETERMINERS]
    named = set(rng.sample(removable, level))
    return Remove(tuple(word for word in sentence if word in named), " ".join(sentence))


def _draw_sentence(rng: Random) -> list[str]:
    while True:
        first, second = rng.sample(DETERMINERS, 2)
        adjectives = rng.sample(ADJECTIVES, rng.randrange(1, 5))
        here = adjectives[1:] if len(adjectives) > 2 else adjectives
        there = adjectives[:1] if len(adjectives) > 2 else []
        noun, other = rng.sample(NOUNS, 2)
        words = [first, *here, noun, rng.choice(VERBS)]
        if rng.random() < 0.6:
            words += [rng.choice(PLACES), second, *there, other]
        if rng.random() < 0.5:
            words.append(rng.choice(ADVERBS))
        if 5 <= len(words) <= 9:
            return words
