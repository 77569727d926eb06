"""The configuration of a run: everything that decides what is made, in one frozen model."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class RunConfig(BaseModel):
    """What `burnish run` was asked for, resolved. Stored with the run; the same in TOML is a `--config` file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: tuple[str, ...] = Field(min_length=1, description="Recipes to run, in order.")
    prompts: str | None = Field(None, description="File, folder or hf:NAME[:SPLIT] to read prompts from.")
    store: str = Field(description="Folder of the store.")
    models: dict[str, str] = Field(
        default={"default": "pocket"}, description="Model per role; 'default' serves the roles not named."
    )
    constitution: str | None = Field(
        None, description="Name in data/constitutions, or a YAML file; 'general' by default, 'pocket' for that model."
    )
    settings: dict[str, dict[str, Any]] = Field({}, description="Fields of each recipe's Config that differ.")
    prompt_pack: str | None = Field(
        None, description="YAML file of settings per recipe, prompts above all; a model's folder may hold its own."
    )
    fields: dict[str, str] = Field({}, description="Column of the source per field of a prompt.")
    limit: int | None = Field(None, ge=1, description="Read at most this many prompts.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the run; every sample's seed derives from it.")
    shard_size: int = Field(1000, ge=1, description="Items whose part of the call log is held at one time.")
    window: int = Field(256, ge=1, description="Items in flight at one time.")
    max_reject_share: float = Field(
        0.2, ge=0, le=1, description="The run fails when more items than this are rejected."
    )
