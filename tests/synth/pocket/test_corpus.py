"""The training conversations: reproducible, train tasks only, templates filled, and in them the exact answers."""

import re
from collections import Counter
from itertools import islice
from random import Random

import pytest

from synth.pocket import world
from synth.pocket.corpus import LATE_MIXTURE, MIXTURE, Conversation, Pack, conversations, response_pair
from synth.pocket.tasks import KINDS, Add, Task, task_of
from synth.pocket.world import PRINCIPLES, Principle
from synth.text import placeholders

ROWS = 4000


@pytest.fixture(scope="module")
def rows() -> list[Conversation]:
    return list(islice(conversations(0), ROWS))


def _task(row: Conversation) -> Task:
    """The task of a row's last user turn, or of its first where the last is a follow-up."""
    prompts = [message["content"] for message in row.messages if message["role"] == "user"]
    first = prompts[0 if row.role == "followed_up" else -1].split("\n")[0]
    return task_of(first.removeprefix("Task: "))


def test_a_seed_gives_the_same_rows_and_another_seed_others(rows: list[Conversation]) -> None:
    assert list(islice(conversations(0), 300)) == rows[:300]
    assert list(islice(conversations(1), 300)) != rows[:300]


def test_every_task_is_a_train_task(rows: list[Conversation]) -> None:
    assert {world.split_of(_task(row)) for row in rows} == {"train"}


def test_every_role_and_kind_has_its_share(rows: list[Conversation]) -> None:
    total = sum(MIXTURE.values())
    assert {make.__name__ for make in LATE_MIXTURE} - {make.__name__ for make in MIXTURE} == {"comparison_of_right"}
    roles = Counter(row.role for row in rows)
    for make, weight in MIXTURE.items():
        assert roles[make.__name__] / ROWS == pytest.approx(weight / total, abs=0.025)
    assert all(count / ROWS == pytest.approx(1 / 3, abs=0.03) for count in Counter(row.kind for row in rows).values())
    assert {row.kind for row in rows} == set(KINDS)


def test_no_placeholder_is_left(rows: list[Conversation]) -> None:
    assert not any(placeholders(message["content"]) for row in rows for message in row.messages)


def test_drafts_are_wrong_and_badly_worded_as_often_as_meant(rows: list[Conversation]) -> None:
    found = [world.check(_task(row), row.messages[-1]["content"]) for row in rows if row.role == "draft"]
    shares = {principle: sum(check.meets(principle) for check in found) / len(found) for principle in PRINCIPLES}
    assert shares == pytest.approx({"correct": 0.6, "polite": 0.75, "brief": 0.85, "sure": 0.85}, abs=0.06)


@pytest.mark.parametrize(
    ("role", "pattern"),
    [
        ("critique", r"Correct\.|Wrong: .+\."),
        ("judge", "Yes|No|True|False"),
        ("comparison", "[AB]"),
        ("reasoning", r"A .+\. B .+\. The better answer is \([AB]\)\."),
    ],
)
def test_a_reply_has_the_form_its_reader_expects(rows: list[Conversation], role: str, pattern: str) -> None:
    replies = {row.messages[-1]["content"] for row in rows if row.role == role}
    assert all(re.fullmatch(pattern, reply) for reply in replies)


def test_refinements_are_right_unless_told_that_a_wrong_answer_is_correct(rows: list[Conversation]) -> None:
    told_correct = [
        row for row in rows if row.role == "refine" and "\nFeedback: Correct.\n" in row.messages[0]["content"]
    ]
    for row in rows:
        if row.role in ("refine", "direct_refine", "followed_up") and row not in told_correct:
            assert row.messages[-1]["content"] == _task(row).answer
    assert any(row.messages[-1]["content"] != _task(row).answer for row in told_correct)


def test_verdicts_are_balanced(rows: list[Conversation]) -> None:
    verdicts = Counter(row.messages[-1]["content"] for row in rows if row.role in ("judge", "comparison"))
    for one, other in (("Yes", "No"), ("True", "False"), ("A", "B")):
        assert verdicts[one] / (verdicts[one] + verdicts[other]) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("principle", PRINCIPLES)
def test_a_pair_ties_only_if_asked_to(principle: Principle) -> None:
    for tie in (True, False):
        pair = response_pair(Add(47, 38), Random(1), principle, tie)
        assert (world.prefer(Add(47, 38), *pair, principle) == 0.5) == tie


def test_the_pack_asks_with_the_fields_of_its_recipe() -> None:
    pack = Pack.load()
    assert {name: placeholders(text) for name, text in pack.prompts["constitutional_ai"].items()} == {
        "examples": set(),
        "critique_prompt": {"prompt", "response", "critique_request"},
        "revision_prompt": {"prompt", "response", "critique", "revision_request"},
        "direct_revision_prompt": {"prompt", "response", "revision_request"},
        "comparison_prompt": {"prompt", "response_a", "response_b", "principle"},
        "reasoning_prompt": {"prompt", "response_a", "response_b", "principle"},
    }
    assert [positive for _, positive, _ in pack.ilf_judges()] == ["Yes"] * 3 + ["True"] * 2
    for template, _, _ in pack.ilf_judges():
        assert placeholders(template) == {"prompt", "response", "critique", "refinement"}
