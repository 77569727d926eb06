"""The pocket world's checkers, splits and exact answers."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.paths import data_dir
from synth.pocket import world
from synth.pocket.style import HEDGE, RUDE, WORDY, Wording, wording_of
from synth.pocket.tasks import KINDS, LEVELS, Add, Remove, Sort, Task, task_of
from synth.pocket.world import PRINCIPLES, Principle, Split

SENTENCE = "the big blue dog runs"


@st.composite
def tasks(draw: st.DrawFn, split: Split = "train") -> Task:
    rng = Random(draw(st.integers(0, 2**32)))
    return world.draw_task(rng, split, draw(st.sampled_from(KINDS)), draw(st.sampled_from(LEVELS)))


@st.composite
def wordings(draw: st.DrawFn, core: str) -> Wording:
    rude, wordy, hedge = (draw(st.sampled_from(("", *phrases))) for phrases in (RUDE, WORDY, HEDGE))
    return Wording(core, rude, wordy, hedge)


@pytest.mark.parametrize(
    ("task", "prompt", "answer"),
    [
        (Add(47, 38), "Add 47 and 38.", "85"),
        (Sort((17, 5, 9, 3)), "Sort these numbers: 17 5 9 3.", "3 5 9 17"),
        (Remove(("dog",), SENTENCE), f"Remove the word dog from: {SENTENCE}", "the big blue runs"),
        (Remove(("blue", "dog"), SENTENCE), f"Remove the words blue and dog from: {SENTENCE}", "the big runs"),
        (
            Remove(("big", "blue", "dog"), SENTENCE),
            f"Remove the words big, blue and dog from: {SENTENCE}",
            "the runs",
        ),
    ],
)
def test_a_task_reads_as_its_prompt_and_back(task: Task, prompt: str, answer: str) -> None:
    assert (task.prompt, task.answer, task_of(prompt)) == (prompt, answer, task)


def test_a_true_critique_may_leave_a_fault_out_but_names_none_that_is_not_there() -> None:
    task = Add(47, 38)
    assert world.is_true_critique(task, "85", "Correct.")
    assert world.is_true_critique(task, "74", world.critique(task, "74"))
    assert world.is_true_critique(task, "74", "Wrong: the last digit is wrong, 7+8=15.")
    assert not world.is_true_critique(task, "74", "Correct.")
    assert not world.is_true_critique(task, "85", "Wrong: the last digit is wrong, 7+8=15.")
    assert not world.is_true_critique(task, "84", "Wrong: the tens are wrong, 4+3+1=8.")
    assert not world.is_true_critique(task, "84", "the last digit is wrong, 7+8=15")


@pytest.mark.parametrize(
    ("task", "response", "critique"),
    [
        (Add(47, 38), "85", "Correct."),
        (Add(47, 38), "Maybe 85.", "Correct."),
        (Add(47, 38), "86", "Wrong: the last digit is wrong, 7+8=15."),
        (Add(47, 38), "75, you fool.", "Wrong: the tens are wrong, 4+3+1=8."),
        (Add(67, 58), "26", "Wrong: the last digit is wrong, 7+8=15; the tens are wrong, 6+5+1=12."),
        (Add(47, 38), "085", "Wrong: give one number."),
        (Sort((9, 7, 4)), "4 9 7", "Wrong: 7 must come before 9."),
        (Sort((9, 7, 4)), "7 9", "Wrong: 4 is missing."),
        (Sort((9, 7, 4)), "4 6 7 7 9", "Wrong: 6 is not in the list; 7 is there twice."),
        (Sort((9, 7, 4)), "4, 7, 9", "Wrong: give only the numbers."),
        (Remove(("dog",), SENTENCE), SENTENCE, "Wrong: the word dog is still there."),
        (Remove(("dog",), SENTENCE), "the big blue", "Wrong: the word runs must stay."),
        (Remove(("dog",), SENTENCE), "the blue big runs", "Wrong: keep the order of the words."),
        (
            Remove(("dog",), SENTENCE),
            "the big big blue cat runs",
            "Wrong: the word cat is not in the sentence; the word big is there twice.",
        ),
    ],
)
def test_a_critique_names_each_fault(task: Task, response: str, critique: str) -> None:
    assert world.critique(task, response) == critique


@given(tasks())
def test_a_drawn_task_is_read_back_from_its_prompt(task: Task) -> None:
    assert task_of(task.prompt) == task


def test_a_prompt_of_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the prompt of a pocket task, got 'Write a poem'"):
        task_of("Write a poem")


@given(tasks(), tasks("heldout"))
def test_splits_share_no_task(train: Task, heldout: Task) -> None:
    assert train.content != heldout.content
    assert (world.split_of(train), world.split_of(heldout)) == ("train", "heldout")


@given(st.permutations((3, 20, 77, 9)), st.permutations((31, 57)))
def test_the_order_of_numbers_does_not_move_a_task_to_the_other_split(sort: list[int], add: list[int]) -> None:
    assert world.split_of(Sort(tuple(sort))) == world.split_of(Sort((3, 20, 77, 9)))
    assert world.split_of(Add(*add)) == world.split_of(Add(31, 57))


@given(tasks(), st.text())
def test_any_text_is_checked_and_right_only_as_the_answer(task: Task, text: str) -> None:
    right = world.check(task, text).right
    assert right == (wording_of(text).core == task.answer) == (world.critique(task, text) == "Correct.")


@given(tasks(), st.integers(0, 2**32))
def test_a_mistake_is_wrong(task: Task, seed: int) -> None:
    assert task.faults(task.mistake(Random(seed)))


@given(st.data(), tasks(), st.integers(0, 2**32))
def test_a_wording_is_taken_off_as_it_was_put_on(data: st.DataObject, task: Task, seed: int) -> None:
    for core in (task.answer, task.mistake(Random(seed))):
        wording = data.draw(wordings(core))
        assert wording_of(wording.text) == wording
        found = world.check(task, wording.text)
        assert (found.polite, found.brief, found.sure) == (not wording.rude, not wording.wordy, not wording.hedge)


@given(tasks(), st.integers(0, 2**32))
def test_the_exact_editor_mends_what_the_exact_critic_finds(task: Task, seed: int) -> None:
    response = world.draft(task, Random(seed), wrong=0.7)
    given_critique = world.critique(task, response)
    refinement = world.edit(task, response, given_critique)
    assert refinement == task.answer
    assert world.incorporates(task, response, given_critique, refinement)
    if given_critique != "Correct.":
        assert not world.incorporates(task, response, given_critique, response)
        assert world.edit(task, response, "Correct.") == wording_of(response).core


@given(tasks(), st.integers(0, 2**32), st.sampled_from(PRINCIPLES))
def test_a_revision_mends_its_principle_and_nothing_else(task: Task, seed: int, principle: Principle) -> None:
    response = world.draft(task, Random(seed), wrong=0.7)
    revision = world.revise(task, response, principle)
    before, after = world.check(task, response), world.check(task, revision)
    assert after.meets(principle)
    if principle != "correct":
        assert all(after.meets(other) == before.meets(other) for other in PRINCIPLES if other != principle)
    assert world.prefer(task, response, revision, principle) == (0.5 if before.meets(principle) else 0)
    assert world.prefer(task, revision, response, principle) == (0.5 if before.meets(principle) else 1)


def test_an_insult_in_the_middle_counts_and_is_taken_out() -> None:
    text = "85, you fool, it is"
    assert not world.check(Add(47, 38), text).polite
    assert world.revise(Add(47, 38), text, "polite") == "85, it is"


def test_the_bundled_prompts_are_those_that_the_command_writes() -> None:
    bundled = (data_dir() / "prompts" / "pocket.jsonl").read_text()
    assert bundled == world.bundled_prompts()
    rows = [json.loads(line) for line in bundled.splitlines()]
    bundled_tasks = [task_of(row["prompt"]) for row in rows]
    assert len({task.content for task in bundled_tasks}) == 3 * world.BUNDLED_PER_KIND
    assert {world.split_of(task) for task in bundled_tasks} == {"heldout"}
    assert [task.answer for task in bundled_tasks] == [row["reference"] for row in rows]
