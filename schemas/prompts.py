"""Prompts: what the pipeline starts from."""

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import TypedDict

from schemas.row import Row


class Message(TypedDict):
    """One turn of a conversation, in the layout that chat templates, servers and trainers share."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Row):
    """A conversation that waits for an answer, with whatever is known about a right one."""

    table: ClassVar[str] = "prompts"
    prefix: ClassVar[str] = "pr"
    identity: ClassVar[tuple[str, ...]] = ("messages", "reference", "tests")

    messages: tuple[Message, ...] = Field(description="The conversation so far; its last turn is the user's.")
    reference: str | None = Field(None, description="A right or human-written answer, if the source has one.")
    tests: tuple[str, ...] = Field((), description="Executable checks of an answer, if the source has any.")
    source: str = Field("", description="File or dataset it was first read from.")
    line: int = Field(0, description="Line or row in the source, counted from 1.")
