"""constitutional_ai on scripted roles: rounds under drawn principles, then comparisons in both orders."""

import pytest

from schemas import Critique, Judgment, Principle, Response
from synth.engine import Choose
from synth.engines.scripted import last_text
from tests.harness import ask, run_recipe

PROMPT = ask("Say hello.")
PRINCIPLES = [
    Principle(
        name=name,
        text=f"be {name}",
        critique_request=f"Is it {name}?",
        revision_request=f"Make it {name}.",
        source="us",
    )
    for name in ("kind", "short")
]


def policy(request, seed):
    return f"hello {seed % 1000}"


ROLES = {
    "policy": policy,
    "critic": lambda request, seed: "it is not",
    "editor": lambda request, seed: f"hi {seed % 1000}",
    "judge": lambda request, seed: (0.9, 0.1),
}


def test_each_round_criticises_and_revises_the_last_answer_under_its_own_principle():
    result = run_recipe("constitutional_ai", PROMPT, ROLES, principles=PRINCIPLES, pairs=0)
    draft, *revisions = result.of(Response)
    critiques = result.of(Critique)
    assert [one.round for one in revisions] == [1, 2, 3, 4]
    assert [one.parent_id for one in revisions] == [draft.id, *(one.id for one in revisions[:3])]
    assert {one.draft_id for one in revisions} == {draft.id}
    assert [one.critique_ids for one in revisions] == [(critique.id,) for critique in critiques]
    assert [one.principle_id for one in revisions] == [one.principle_id for one in critiques]
    assert {one.principle_id for one in revisions} <= {one.id for one in PRINCIPLES}
    for asked, revision in zip(result.asked["editor"], [draft, *revisions], strict=False):
        assert revision.text in last_text(asked)
        assert "it is not" in last_text(asked)


def test_a_pair_is_judged_in_both_orders():
    result = run_recipe("constitutional_ai", PROMPT, ROLES, principles=PRINCIPLES, rounds=0)
    first, second = result.of(Response)
    looks = result.of(Judgment)
    assert [look.response_ids for look in looks] == [(first.id, second.id), (second.id, first.id)]
    assert all(look.probabilities == pytest.approx((0.9, 0.1)) for look in looks)
    assert all(isinstance(asked, Choose) and asked.options == ("A", "B") for asked in result.asked["judge"])


def test_equal_answers_are_not_judged():
    result = run_recipe(
        "constitutional_ai", PROMPT, {**ROLES, "policy": lambda r, s: "hi"}, principles=PRINCIPLES, rounds=0
    )
    assert result.of(Judgment) == []
    assert result.status == "done"


def test_reasoning_is_kept_continued_and_its_probability_clamped():
    def judge(request, seed):
        return (0.99, 0.01) if isinstance(request, Choose) else "A greets. The better answer is (A)."

    result = run_recipe(
        "constitutional_ai", PROMPT, {**ROLES, "judge": judge}, principles=PRINCIPLES, rounds=0, reasoning=True
    )
    looks = result.of(Judgment)
    assert [look.rationale for look in looks] == ["A greets."] * 2
    assert all(look.probabilities == pytest.approx((0.6, 0.4)) for look in looks)
    continued = next(one for one in result.asked["judge"] if isinstance(one, Choose))
    assert continued.messages[-1] == {"role": "assistant", "content": "A greets. The better answer is ("}


def test_reasoning_without_a_verdict_is_a_reject_that_keeps_the_text():
    result = run_recipe(
        "constitutional_ai",
        PROMPT,
        {**ROLES, "judge": lambda r, s: "Both are fine."},
        principles=PRINCIPLES,
        reasoning=True,
    )
    assert (result.reject.reason, result.reject.raw) == ("unparseable", "Both are fine.")


def test_without_critique_revises_directly():
    result = run_recipe(
        "constitutional_ai", PROMPT, ROLES, principles=PRINCIPLES, with_critique=False, pairs=0, rounds=1
    )
    assert result.of(Critique) == []
    assert result.asked["critic"] == []
    assert "it is not" not in last_text(result.asked["editor"][0])


def test_an_unchanged_revision_is_marked():
    roles = {**ROLES, "policy": lambda r, s: "same", "editor": lambda r, s: " same "}
    result = run_recipe("constitutional_ai", PROMPT, roles, principles=PRINCIPLES, pairs=0, rounds=1)
    assert result.of(Response)[-1].noop
