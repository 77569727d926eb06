"""chain_of_hindsight on a pair: every direction, and which segments carry the loss."""

from schemas import Chain, Pair
from tests.harness import run_recipe

PAIR = Pair(
    prompt_id="pr_1",
    messages=({"role": "user", "content": "2+2?"},),
    chosen_id="re_1",
    chosen="4",
    rejected_id="re_2",
    rejected="5",
    rejected_critique="Too many.",
    p_chosen=0.9,
    source="comparison",
    recipe="ilf",
)


def text(chain):
    return "".join(segment["text"] for segment in chain.segments)


def test_every_direction():
    chains = {chain.template: chain for chain in run_recipe("chain_of_hindsight", PAIR, {}).of(Chain)}
    assert text(chains["better"]) == "2+2?\n\nA good answer: 4"
    assert text(chains["worse"]) == "2+2?\n\nA bad answer: (Too many.) 5"
    assert text(chains["worse_to_better"]) == "2+2?\n\nA bad answer: (Too many.) 5\n\nA good answer: 4"
    assert text(chains["better_to_worse"]) == "2+2?\n\nA good answer: 4\n\nA bad answer: (Too many.) 5"
    assert chains["worse_to_better"].response_ids == ("re_2", "re_1")


def test_only_responses_carry_the_loss():
    for chain in run_recipe("chain_of_hindsight", PAIR, {}).of(Chain):
        assert {s["kind"] for s in chain.segments if s["loss"]} == {"response"}
        assert {s["kind"] for s in chain.segments if not s["loss"]} >= {"prompt", "marker"}


def test_settings_leave_out_pairs_critiques_and_directions():
    assert run_recipe("chain_of_hindsight", PAIR, {}, min_p_chosen=0.95).of(Chain) == []
    assert run_recipe("chain_of_hindsight", PAIR, {}, sources=["ranking"]).of(Chain) == []
    [chain] = run_recipe("chain_of_hindsight", PAIR, {}, templates=["worse"], with_critique=False).of(Chain)
    assert text(chain) == "2+2?\n\nA bad answer: 5"


def test_paraphrased_markers_depend_on_the_seed():
    texts = {
        text(run_recipe("chain_of_hindsight", PAIR, {}, seed=seed, paraphrase=True).of(Chain)[0]) for seed in range(20)
    }
    assert len(texts) > 3
