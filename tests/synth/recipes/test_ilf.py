"""ilf on scripted roles: who is shown what, in which order, and which refinement is chosen."""

from schemas import Critique, Judgment, Response
from synth.engine import Choose, Say
from synth.engines.scripted import last_text
from tests.harness import ask, run_recipe

PROMPT = ask("Name a colour.")


def refinements(request, seed):
    return ["blue", "red", "green"][seed % 3]


def judge(request, seed):
    return (0.9, 0.1) if "New answer:\nred" in last_text(request) else (0.2, 0.8)


ROLES = {
    "policy": lambda request, seed: "table",
    "critic": lambda request, seed: "A table is {not} a colour.",
    "editor": refinements,
    "judge": judge,
    "embedder": lambda request, seed: (1.0, 0.0) if "blue" in last_text(request) else (0.0, 1.0),
}


def test_drafts_criticises_refines_and_chooses_by_the_ensemble():
    result = run_recipe("ilf", PROMPT, ROLES, refinements=3, max_resamples=60)

    assert isinstance(result.asked["policy"][0], Say)
    assert last_text(result.asked["policy"][0]) == "Name a colour."
    assert "Name a colour." in last_text(result.asked["critic"][0])
    assert "table" in last_text(result.asked["critic"][0])
    assert "A table is {not} a colour." in last_text(result.asked["editor"][0])

    draft, *refined = result.of(Response)
    assert (draft.kind, draft.text) == ("draft", "table")
    assert {one.parent_id for one in refined} == {draft.id}
    [critique] = result.of(Critique)
    assert critique.response_id == draft.id
    *labels, ranking = result.of(Judgment)
    assert len(labels) == 5 * 3
    assert {label.options for label in labels} == {("Yes", "No"), ("True", "False")}
    assert ranking.aspect == "yes_no_ensemble"
    assert {one.id: one.text for one in refined}[str(ranking.verdict)] == "red"
    assert max(ranking.scores) == 0.9


def test_repeated_refinements_are_drawn_again_and_slots_prefer_distinct_clean_ones():
    result = run_recipe("ilf", PROMPT, ROLES, refinements=2, max_resamples=60, forbidden=["blue"])
    ranking = result.of(Judgment)[-1]
    texts = {one.id: one.text for one in result.of(Response)}
    assert sorted(texts[id] for id in ranking.response_ids) == ["green", "red"]


def test_slots_are_filled_with_repetitions_when_nothing_else_comes():
    result = run_recipe("ilf", PROMPT, {**ROLES, "editor": lambda request, seed: "red"}, refinements=3, max_resamples=2)
    assert len(result.asked["editor"]) == 2
    assert len(result.of(Judgment)[-1].response_ids) == 3


def test_a_judge_that_never_varies_leaves_the_choice_to_chance_and_says_so():
    result = run_recipe("ilf", PROMPT, {**ROLES, "judge": lambda request, seed: (0.7, 0.3)}, refinements=3)
    assert result.of(Judgment)[-1].aspect == "random_after_constant_ensemble"


def test_selection_baselines():
    def chosen(selection, **roles):
        result = run_recipe("ilf", PROMPT, {**ROLES, **roles}, refinements=3, max_resamples=60, selection=selection)
        assert not [one for one in result.asked["judge"] if isinstance(one, Choose)]
        texts = {one.id: one.text for one in result.of(Response)}
        ranking = result.of(Judgment)[-1]
        assert ranking.aspect == selection
        return texts[str(ranking.verdict)]

    def critic(request, seed):
        return "say blue" if isinstance(request, Say) else ((-0.1,) if "green" in last_text(request) else (-3.0, -1.0))

    def editor(request, seed):
        return (
            refinements(request, seed)
            if isinstance(request, Say)
            else (-0.1 if request.continuation == "red" else -2.0,)
        )

    assert chosen("embedding", critic=critic) == "blue"
    assert chosen("embedding_lowest", critic=critic) in ("red", "green")
    assert chosen("critique_likelihood", critic=critic) == "green"
    assert chosen("refinement_likelihood", editor=editor) == "red"
    assert chosen("random") in ("red", "green", "blue")


def test_without_critique_is_the_direct_baseline():
    result = run_recipe("ilf", PROMPT, ROLES, with_critique=False)
    assert not result.of(Critique)
    assert not result.asked["critic"]
    assert result.of(Judgment)[-1].aspect == "random"


def test_a_critique_cut_off_at_its_length_is_a_reject_that_keeps_the_text():
    result = run_recipe("ilf", PROMPT, {**ROLES, "critic": lambda request, seed: "A table is…"})
    assert result.status == "reject"
    assert result.records == []
    assert (result.reject.reason, result.reject.raw) == ("truncated", "A table is…")
