"""Rejects: what could not become complete rows, with the reason and the raw text."""

from typing import ClassVar

from pydantic import Field

from schemas.row import Row


class Reject(Row):
    """An input line or an item that yields no records, and why."""

    table: ClassVar[str] = "rejects"
    prefix: ClassVar[str] = "rj"
    identity: ClassVar[tuple[str, ...]] = ("work_id", "item_id", "source", "line", "reason", "raw")

    reason: str = Field(description="Short code, such as truncated, unparseable, too_long, empty_prompt.")
    detail: str = Field(description="One line: what was expected and what came.")
    raw: str = Field(description="The text in question, as it came.")
    source: str = Field("", description="File or dataset, for a rejected input.")
    line: int = Field(0, description="Line or row in the source, counted from 1.")
    item_id: str | None = Field(None, description="The item, once there was one.")
    recipe: str | None = Field(None, description="The recipe that was running.")
    work_id: str | None = Field(None, description="The recipe with its settings, models and seed.")
    run_id: str = Field(description="The run that met it.")
    call_ids: tuple[str, ...] = Field((), description="The calls that led to it.")
