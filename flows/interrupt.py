"""Ctrl-C and SIGTERM while a session runs: once to stop cleanly, twice to stop now."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from synth.session import Session


@contextmanager
def interruptible(session: Session) -> Iterator[None]:
    """The first signal lets the calls in flight finish and keeps them; the second raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if session.log.stopped_by:
            raise KeyboardInterrupt
        print("\nstopping: the calls in flight are finished and kept (again to stop now)", file=sys.stderr)
        session.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
