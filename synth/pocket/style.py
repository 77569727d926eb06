"""How an answer is worded: rude, wordy or hedging phrases around a core answer, put on and taken off exactly.

A text is `wordy + hedge + core + rude`; a plain answer is the core alone, any other ends with a full stop.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

Trait = Literal["rude", "wordy", "hedge"]

RUDE = (", you fool", ", dummy", ", you silly goose", ", as any child knows", ", now stop bothering me")
WORDY = (
    "Well, since you asked me, the answer is ",
    "Let me tell you at some length that it is ",
    "After a lot of careful thought I would say ",
    "Thank you for this nice question, to which I answer ",
)
HEDGE = ("Maybe ", "Perhaps ", "I am not sure, but I guess ", "It could be ")
MAX_BRIEF_WORDS = 18

_PHRASES: dict[Trait, tuple[str, ...]] = {"rude": RUDE, "wordy": WORDY, "hedge": HEDGE}


def _any_of(phrases: tuple[str, ...]) -> str:
    return "|".join(re.escape(phrase) for phrase in phrases)


_WRAPPED = re.compile(
    rf"(?P<wordy>(?i:{_any_of(WORDY)}))?(?P<hedge>(?i:{_any_of(HEDGE)}))?(?P<core>.*?)"
    rf"(?P<rude>{_any_of(RUDE)})?\.?"
)


@dataclass(frozen=True)
class Wording:
    """A core answer and the phrases around it; an empty phrase is none."""

    core: str
    rude: str = ""
    wordy: str = ""
    hedge: str = ""

    @property
    def text(self) -> str:
        hedge = self.hedge
        if self.wordy and not hedge.startswith("I "):
            hedge = hedge[:1].lower() + hedge[1:]
        full_stop = "." if self.rude or self.wordy or self.hedge else ""
        return f"{self.wordy}{hedge}{self.core}{self.rude}{full_stop}"

    def without(self, trait: Trait) -> "Wording":
        """The same answer with this trait's phrases gone, wherever they stand."""
        core = re.sub(f"(?i:{_any_of(_PHRASES[trait])})", "", self.core)
        return replace(Wording(core, self.rude, self.wordy, self.hedge), **{trait: ""})

    def shows(self, trait: Trait) -> bool:
        text = self.text.lower()
        return any(phrase.lower() in text for phrase in _PHRASES[trait])


def wording_of(text: str) -> Wording:
    """The wording of any text; what is no known phrase is part of the core."""
    match = _WRAPPED.fullmatch(" ".join(text.split()))
    if match is None:
        return Wording(text)
    wordy, hedge = _canonical(match["wordy"], WORDY), _canonical(match["hedge"], HEDGE)
    return Wording(match["core"], match["rude"] or "", wordy, hedge)


def _canonical(found: str | None, phrases: tuple[str, ...]) -> str:
    return next((phrase for phrase in phrases if found and phrase.lower() == found.lower()), "")
