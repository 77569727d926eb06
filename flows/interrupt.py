"""Ctrl-C and SIGTERM while a session runs: once to stop cleanly, twice to stop now."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synth.session import Session


@contextmanager
def interruptible(session: Session) -> Iterator[None]:
    """The first signal lets the calls in flight finish and keeps them; the second raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        session.stop()
        sys.stderr.write("\nstopping: the calls in flight are finished and kept (again to stop now)\n")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
