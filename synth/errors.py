"""What can go wrong, by the boundary it crosses.

BurnishError
├── UsageError      the operator's: bad configuration, missing file, unknown name. Before any model call; exit 2.
├── ItemRejected    one item's: becomes a row of `rejects`; its siblings go on.
│   └── TooLong     the model's context cannot hold it. Never truncated silently.
├── EngineError     the engine's: it cannot answer any more. The run stops; what is done is kept; exit 1.
├── RunFailed       the run's: more rejects than the bound, and which; exit 1.
└── Interrupted     the user's: Ctrl-C. What was in flight is kept; exit 130.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BurnishError(Exception):
    """Base of all errors that Burnish raises on purpose; the message is one line that ends with what to do."""


class UsageError(BurnishError):
    """The operator's error, found before any model call."""


class ItemRejected(BurnishError):
    """An item that yields no records.

    `reason` is a short code, `detail` one line, `raw` the text in question as it came.
    """

    def __init__(self, reason: str, detail: str, raw: str = "", call_ids: tuple[str, ...] = ()) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.raw = raw
        self.call_ids = call_ids


class TooLong(ItemRejected):
    """A request that does not fit the model's context."""

    def __init__(self, needed: int, context: int, raw: str = "") -> None:
        super().__init__("too_long", f"needs {needed} tokens with its answer, the model's context has {context}", raw)


class EngineError(BurnishError):
    """The engine cannot go on."""


class RunFailed(BurnishError):
    """The run ended because too many of its items were rejected."""


class Interrupted(BurnishError):
    """The user asked to stop."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of: {', '.join(known) or 'none is known'}"


def shown(value: object, limit: int = 200) -> str:
    """A value for a message: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
