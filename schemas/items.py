"""Items: which items of which work are finished. This is what makes resuming quick."""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.row import Row


class Item(Row):
    """A mark that one recipe has finished one item, committed together with the item's records."""

    table: ClassVar[str] = "items"
    prefix: ClassVar[str] = "it"
    identity: ClassVar[tuple[str, ...]] = ("work_id", "item_id")

    item_id: str = Field(description="The prompt, pair or other item.")
    recipe: str = Field(description="The recipe that ran on it.")
    work_id: str = Field(description="The recipe with its settings, models and seed.")
    run_id: str = Field(description="The run that finished it.")
    status: Literal["done", "reject"] = Field(description="Whether it yielded records or a reject.")
