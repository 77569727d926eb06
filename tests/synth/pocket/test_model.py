"""The shipped pocket model: it loads anywhere, reads as it was trained, and still does what its card says."""

import os
from itertools import islice

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from synth.engines import open_engine
from synth.paths import data_dir
from synth.pocket.corpus import conversations
from synth.pocket.evaluate import Measure, Tally, examine, overall, table
from synth.pocket.model import END, PAD, encode

FOLDER = data_dir() / "pocket"
TASKS_PER_KIND = 24


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(FOLDER)


def test_it_loads_with_the_auto_classes_and_is_small(tokenizer: PreTrainedTokenizerFast) -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.head_dim == model.config.hidden_size // model.config.num_attention_heads == 64
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids(END)
    assert tokenizer.pad_token == PAD
    assert os.path.getsize(FOLDER / "model.safetensors") < 10_000_000


def test_digits_and_verdicts_are_single_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("85 7") == ["8", "5", "Ġ", "7"]
    for word in ("Yes", "No", "True", "False", "A", "B"):
        assert len(tokenizer.tokenize(word)) == 1


def test_the_chat_template_renders_what_was_trained_on(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [row.messages for row in islice(conversations(0), 200)]
    for row, encoded in zip(rows, encode(tokenizer, rows), strict=True):
        assert tokenizer.apply_chat_template(list(row), return_dict=False) == encoded.ids
    started = [{"role": "user", "content": "Add 1"}, {"role": "assistant", "content": "Maybe"}]
    asked = tokenizer.apply_chat_template(started[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<|user|>Add 1<|end|><|assistant|>"
    assert tokenizer.apply_chat_template(started, tokenize=False, continue_final_message=True) == asked + "Maybe"


@pytest.mark.parametrize("text", ["naïve ⁂ 東京 42\n\t{x}", " the  big dog ", "Wrong: 7 must come before 9."])
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


async def test_it_meets_its_thresholds_as_far_as_a_small_sample_can_tell() -> None:
    engine = open_engine("pocket")
    results = await examine(engine, TASKS_PER_KIND)
    await engine.close()
    missed = [measure.name for measure, tallies in results.items() if not overall(tallies).may_meet(measure)]
    assert not missed, table(results)


def test_a_small_sample_condemns_only_a_clear_miss() -> None:
    measure = Measure("anything", 0.8)
    assert Tally(7, 10).may_meet(measure)
    assert not Tally(7, 10).meets(measure)
    assert not Tally(70, 100).may_meet(measure)
    assert Tally(0, 5).interval()[0] == 0
