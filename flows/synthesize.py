"""The flow that makes data: recipes over a prompt source, shard by shard.

Prefect sees the run and its shards, not the items: an item costs less than Prefect's own bookkeeping for one.
How it ends is the state of the flow run, with the one line of its cause: Completed, Failed, or Cancelled where someone
asked it to stop, by Ctrl-C, SIGTERM or in Prefect. Whichever it is, the same configuration goes on from there.
"""

# No `from __future__ import annotations`: what serves the flow pickles it for another process, where a parameter's type
# cannot be looked up by its name.

import contextlib
import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar, cast

import httpx
from prefect import flow, get_client, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException, TerminationSignal
from prefect.states import Cancelled, Failed
from prefect.utilities.annotations import quote
from prefect.utilities.urls import url_for

from flows.interrupt import interruptible
from flows.progress import loading, watch
from schemas import RunConfig
from synth.errors import BurnishError, Interrupted, RunFailed, UsageError
from synth.session import Session, Shard

CANCELLED_WITHIN_S = 2.0

P = ParamSpec("P")
R = TypeVar("R")


def run_tracked(config: RunConfig) -> str:
    """The flow as `burnish run` starts it. Raises `UsageError` where Prefect's API does not answer.

    The terminal shows where to watch the run; Prefect's own log of it goes to the API alone.
    """
    try:
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch_once()
    except (RuntimeError, httpx.HTTPError) as error:
        cause = str(error).partition("\n")[0]
        raise UsageError(f"{cause}; `prefect server start` starts one, without PREFECT_API_URL none is used") from error
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).propagate = False
    try:
        return synthesize(config)
    except httpx.TransportError as error:
        cause = str(error).partition("\n")[0]
        raise RunFailed(f"Prefect's API went away ({cause}); all that was made is kept, run again to go on") from error


def _ends_plainly(body: Callable[P, R]) -> Callable[P, R]:
    """Let what Burnish raises on purpose be the run's state, with no traceback. Prefect raises it to the caller."""

    @functools.wraps(body)
    def end(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return body(*args, **kwargs)
        except (Interrupted, KeyboardInterrupt, TerminationSignal) as error:
            stopped = error if isinstance(error, Interrupted) else Interrupted("stopped now; run it again to go on")
            return cast(R, Cancelled(message=str(stopped), data=stopped))
        except BurnishError as error:
            return cast(R, Failed(message=str(error), data=error))

    return end


def _flow_run_name() -> str:
    config: RunConfig = runtime.flow_run.parameters["config"]
    return f"{', '.join(config.recipes)} on {config.prompts or config.store}"


@flow(name="synthesize", flow_run_name=_flow_run_name)
@_ends_plainly
def synthesize(config: RunConfig) -> str:
    """Run recipes over prompts and keep everything in the store. Returns the run's id."""
    if _is_by_hand():
        _say_where_to_watch()
    with loading("Loading the models"):
        session = Session(config)
    with session, interruptible(session), _cancellable(session), watch(session):
        session.run(_run_tracked_shard)
    return session.run_id


def _run_tracked_shard(session: Session, shard: Shard) -> None:
    run_shard = synthesize_shard.with_options(task_run_name=f"shard {shard.index}: {len(shard.items):,} items")
    # Quoted, or Prefect would look into every item for results of other tasks.
    run_shard(session, cast(Shard, quote(shard)), return_state=True).result()


@task(cache_policy=NO_CACHE, persist_result=False)
@_ends_plainly
def synthesize_shard(session: Session, shard: Shard) -> None:
    """One shard. Runs again without repeating a call or a row."""
    session.run_shard(shard)
    if session.log.stopped_by:
        raise session.log.stopped_by


def _is_by_hand() -> bool:
    """Whether no deployment started this run: the runner of one announces the run, and sends SIGTERM to cancel it."""
    return bool(runtime.flow_run.id and not runtime.deployment.id)


def _say_where_to_watch() -> None:
    address = url_for("flow-run", obj_id=runtime.flow_run.id) or runtime.flow_run.id
    sys.stderr.write(f"flow run {runtime.flow_run.name!r}: {address}\n")


@contextlib.contextmanager
def _cancellable(session: Session) -> Iterator[None]:
    """Stop a run that was started by hand when it is cancelled in Prefect."""
    if not _is_by_hand():
        yield
        return
    client, run_id, over = get_client(sync_client=True), runtime.flow_run.id, threading.Event()

    def look() -> None:
        with client:
            while not over.wait(CANCELLED_WITHIN_S):
                with contextlib.suppress(httpx.HTTPError, PrefectException):
                    state = client.read_flow_run(run_id).state
                    if state and (state.is_cancelling() or state.is_cancelled()):
                        session.stop()

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()
