"""Runs: what was asked for, and how it went."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Row


class Run(Row):
    """One run. Its id is the hash of its configuration, so an interrupted run and its continuation are one run."""

    table: ClassVar[str] = "runs"
    prefix: ClassVar[str] = "ru"
    identity: ClassVar[tuple[str, ...]] = ("config",)

    config: str = Field(description="JSON of the resolved RunConfig; `burnish show` prints it as TOML to run again.")
    work_ids: tuple[str, ...] = Field(description="The work of each recipe, in the order of the configuration.")
    version: str = Field(description="Version of Burnish.")
    started_at: datetime = Field(description="When this invocation began (UTC).")
    updated_at: datetime = Field(description="When this row was written (UTC); the view shows the newest per run.")
    status: Literal["running", "done", "interrupted", "failed"] = Field(description="How it stands or ended.")
    calls_made: int = Field(0, description="Calls the models answered in this invocation.")
    calls_reused: int = Field(0, description="Calls answered from the log in this invocation.")
    duplicate_prompts: int = Field(0, description="Prompts of the source that repeat an earlier one.")
    seconds: float = Field(0.0, description="Wall time of this invocation.")
