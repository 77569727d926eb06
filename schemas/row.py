"""The base of every table: a frozen model with its id derived from content and its Arrow schema from fields."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import get_type_hints, is_typeddict

if TYPE_CHECKING:
    import pyarrow as pa

_encoder = msgspec.json.Encoder(order="sorted")


def content_id(prefix: str, *parts: object) -> str:
    """`prefix_` and 24 hex digits (96 bits) of a hash of the parts: equal content, equal id, on every machine."""
    return f"{prefix}_{blake2b(_encoder.encode(parts), digest_size=12).hexdigest()}"


class Row(BaseModel):
    """One row of a table. `id` is filled in from the fields named in `identity` unless it is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: ClassVar[str]
    prefix: ClassVar[str]
    identity: ClassVar[tuple[str, ...]]

    id: str = Field("", description="Content-derived: equal content has an equal id in every store.")

    def model_post_init(self, _context: object) -> None:
        if not self.id:
            parts = (getattr(self, name) for name in self.identity)
            object.__setattr__(self, "id", content_id(self.prefix, *parts))

    @classmethod
    def arrow_schema(cls) -> pa.Schema:
        """The table's columns, in field order; a field that admits None is nullable."""
        return arrow_schema(cls)


class Record(Row):
    """A typed row that a recipe derived from model calls.

    `work_id` names what the row depends on besides its item: recipe, settings, models and seed. Floating-point
    results are no part of any identity, so that a record keeps its id whatever batch its calls were computed in.
    """

    prompt_id: str = Field(description="The prompt this record belongs to.")
    item_id: str = Field(description="The item the recipe was run on; the prompt itself for most recipes.")
    recipe: str = Field(description="The recipe that made this record.")
    work_id: str = Field(description="The recipe with its settings, models and seed; equal work gives equal records.")
    run_id: str = Field(description="The run that wrote this record.")
    model: str | None = Field(description="The model that authored it; null where no model was needed.")
    call_ids: tuple[str, ...] = Field(description="The calls it was derived from, in order.")


@cache
def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """Arrow schema of a pydantic model, columns in field order, descriptions as field metadata."""
    import pyarrow as pa

    def field(name: str, annotation: object, description: str | None) -> pa.Field:
        inner, nullable = _without_none(annotation)
        metadata = {"description": description} if description else None
        return pa.field(name, _arrow_type(inner), nullable=nullable, metadata=metadata)

    hints = get_type_hints(model)
    return pa.schema(field(name, hints[name], info.description) for name, info in model.model_fields.items())


def _without_none(annotation: object) -> tuple[object, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        return inner[0], True
    return annotation, False


def _arrow_type(annotation: object) -> pa.DataType:
    import pyarrow as pa

    scalars: dict[object, pa.DataType] = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        datetime: pa.timestamp("us", tz="UTC"),
    }
    if annotation in scalars:
        return scalars[annotation]
    if get_origin(annotation) is Literal:
        return pa.string()
    if get_origin(annotation) is tuple:
        return pa.list_(_arrow_type(get_args(annotation)[0]))
    if is_typeddict(annotation):
        return pa.struct(_struct_fields(get_type_hints(annotation).items()))
    raise TypeError(f"no Arrow type for {annotation!r}")


def _struct_fields(hints: Iterable[tuple[str, Any]]) -> list[pa.Field]:
    import pyarrow as pa

    return [pa.field(name, _arrow_type(annotation)) for name, annotation in hints]
