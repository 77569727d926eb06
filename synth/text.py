"""Text that goes into prompts: filling templates, showing conversations, refusing what would act as control."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from schemas import Message

_placeholder = re.compile(r"\{([a-z_]+)\}")
_control = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<\uff5c[^<>]{1,40}\uff5c>|<(?:start_of_turn|end_of_turn|bos|eos|s|/s|think|/think)>|\[/?INST\]|<</?SYS>>"
    r"|\{%-?[^{}%\n]*%\}|\{\{-?\s*[A-Za-z_][\w.]*\s*(?:\|[^{}]*)?-?\}\}"
)


def fill(template: str, **values: str) -> str:
    """The template with every {name} replaced, in one pass: braces inside a value stay as they are."""
    return _placeholder.sub(lambda match: values[match[1]], template)


def placeholders(template: str) -> set[str]:
    """The names a template asks for."""
    return set(_placeholder.findall(template))


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as text for a critic or judge: a single user turn as it is, more turns with their speakers."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)


def control_token(texts: Iterable[str]) -> str | None:
    """The first thing in the texts that looks like a chat-control token or template syntax of some model."""
    return next((match[0] for text in texts if (match := _control.search(text))), None)
