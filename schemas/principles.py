"""Principles and the constitutions they belong to."""

from typing import ClassVar

from pydantic import Field

from schemas.row import Row


class Principle(Row):
    """One rule, with the two requests that apply it to a response."""

    table: ClassVar[str] = "principles"
    prefix: ClassVar[str] = "pn"
    identity: ClassVar[tuple[str, ...]] = ("name", "text", "critique_request", "revision_request")

    name: str = Field(description="Its short name in the constitution's file.")
    text: str = Field(description="The rule, as shown to a judge who compares responses by it.")
    critique_request: str = Field(description="What a critic is asked about a response.")
    revision_request: str = Field(description="What an editor is asked to change.")
    source: str = Field(description="Who wrote it, or where it comes from.")


class Constitution(Row):
    """A named list of principles."""

    table: ClassVar[str] = "constitutions"
    prefix: ClassVar[str] = "co"
    identity: ClassVar[tuple[str, ...]] = ("name", "principle_ids")

    name: str = Field(description="Its id in the file.")
    title: str = Field(description="What it is for, in a few words.")
    source: str = Field(description="Who wrote it, or where it comes from.")
    principle_ids: tuple[str, ...] = Field(description="Its principles, in order.")
