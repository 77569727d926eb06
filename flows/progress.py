"""How far a run is: live in a terminal, a line every few seconds elsewhere. It goes to stderr, results go to stdout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.display import plural
from flows.interrupt import interruptible

if TYPE_CHECKING:
    from schemas import RunConfig
    from synth.session import Session

LIVE_PER_S = 4
PLAIN_EVERY_S = 5.0
console = Console(highlight=False, markup=False, emoji=False, stderr=True)


@contextmanager
def loading(what: str) -> Iterator[None]:
    """A sign of life in a terminal while something takes seconds and has no steps to count."""
    with console.status(Text(what)):
        yield


def run_watched(config: RunConfig) -> str:
    """What the flow `synthesize` does, without Prefect. Returns the run's id."""
    from synth.session import Session

    with loading("Loading the models"):
        session = Session(config)
    with session, interruptible(session), watch(session):
        session.run()
    return session.run_id


@contextmanager
def watch(session: Session) -> Iterator[None]:
    """Show a session's progress while it runs: live in a terminal, a line every few seconds elsewhere."""
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(get_renderable=lambda: _live(session), console=console, refresh_per_second=LIVE_PER_S):
            yield
    else:
        with _repeated(PLAIN_EVERY_S, lambda: console.print(_line(session), soft_wrap=True)):
            yield


def _live(session: Session) -> RenderableType:
    done, total = _ended(session)
    bar = ProgressBar(total=max(total, 1), completed=done, width=24)
    line = Table.grid(padding=(0, 1))
    line.add_row(bar, Text(f"{_items(session)}, {_clock(session.progress.seconds)}, {_left(session)}"))
    return Group(line, Text(_figures(session), "dim"))


def _line(session: Session) -> str:
    return f"{_items(session)}, {_figures(session)}, {_left(session)}"


def _ended(session: Session) -> tuple[int, int]:
    """Items ended and known, counted once per recipe as in the table `items`, with the rejected lines of the input."""
    done = session.outcome.done + session.outcome.rejected
    return done, max(session.progress.jobs, done)


def _items(session: Session) -> str:
    done, total = _ended(session)
    return f"{done:,} of {plural(total, 'item')}"


def _left(session: Session) -> str:
    """Time left for the items known so far, at the pace of those that this invocation has ended."""
    done, total = _ended(session)
    ended_now = done - session.progress.finished_before
    if done == total:
        return "0:00:00 left"
    return f"{_clock(session.progress.seconds * (total - done) / ended_now)} left" if ended_now > 0 else "-:--:-- left"


def _figures(session: Session) -> str:
    tally = session.log.tally
    rate = tally.completion_tokens / max(session.progress.seconds, 1e-9)
    return (
        f"{plural(tally.calls_made, 'call')}, {tally.calls_reused:,} from the log, {rate:,.0f} tokens/s, "
        f"{plural(session.outcome.rejected, 'reject')}"
    )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


@contextmanager
def _repeated(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Do it every so many seconds, and once more at the end."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        action()
