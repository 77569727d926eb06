"""The flow that makes data: recipes over a prompt source, shard by shard.

Prefect sees the run and its shards, not the items: an item costs less than Prefect's own bookkeeping for one.
"""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.display import watch
from flows.interrupt import interruptible
from schemas import RunConfig
from synth.session import Session, Shard


@flow(name="synthesize", flow_run_name="{config.recipes} on {config.prompts}", log_prints=False)
def synthesize(config: RunConfig) -> str:
    """Run the recipes on the prompts as configured. Returns the run's id; the data is in the configured store."""
    with Session(config) as session, interruptible(session), watch(session):
        for shard in session.shards():
            synthesize_shard(session, shard)
        session.finish()
    return session.run_id


@task(name="shard", task_run_name="shard {shard.index}", cache_policy=NO_CACHE, persist_result=False)
def synthesize_shard(session: Session, shard: Shard) -> None:
    """One shard. Runs again without repeating a call or a row."""
    session.run_shard(shard)
