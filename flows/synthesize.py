"""The flow that makes data: recipes over a prompt source, shard by shard.

Prefect sees the run and its shards, not the items: an item costs less than Prefect's own bookkeeping for one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Failed
from prefect.utilities.annotations import quote

from flows.display import watch
from flows.interrupt import interruptible
from schemas import RunConfig
from synth.errors import BurnishError, Interrupted
from synth.session import Session, Shard

P = ParamSpec("P")
R = TypeVar("R")


def _ends_plainly(body: Callable[P, R]) -> Callable[P, R]:
    """Errors that Burnish raises on purpose become the run's state, with their one line as its message.

    Prefect raises them to the caller all the same; of what it does not know as a state it prints a traceback.
    """

    @functools.wraps(body)
    def end(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return body(*args, **kwargs)
        except (Interrupted, KeyboardInterrupt, TerminationSignal) as error:
            stopped = error if isinstance(error, Interrupted) else Interrupted("stopped at once; run again to go on")
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
    """Run the recipes on the prompts as configured. Returns the run's id; the data is in the configured store."""
    with Session(config) as session, interruptible(session), watch(session):
        for shard in session.shards():
            run_shard = synthesize_shard.with_options(task_run_name=f"shard {shard.index}: {len(shard.items):,} items")
            # Quoted, or Prefect would look into every item for results of other tasks.
            run_shard(session, cast(Shard, quote(shard)))
        session.finish()
    return session.run_id


@task(cache_policy=NO_CACHE, persist_result=False)
@_ends_plainly
def synthesize_shard(session: Session, shard: Shard) -> None:
    """One shard. Runs again without repeating a call or a row."""
    session.run_shard(shard)
    if session.log.stopped_by:
        raise session.log.stopped_by
