"""Training: what it leaves behind, and that an interrupted run ends where an uninterrupted one does."""

from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import load_file

from synth.pocket import model, train
from synth.pocket.card import fill_measured
from synth.pocket.train import Plan

PLAN = Plan(steps=4)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "TOKENIZER_ROWS", 300)
    monkeypatch.setattr(train, "POOL_ROWS", 128)
    monkeypatch.setattr(train, "BATCH_ROWS", 16)
    monkeypatch.setattr(train, "CHECKPOINT_S", -1.0)


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, interrupted = tmp_path / "straight", tmp_path / "interrupted"
    assert train.train(straight, PLAN).step == 4

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "PUBLISH_S", -1.0)
        patched.setattr(train, "publish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train(interrupted, PLAN)
    assert (interrupted / train.CHECKPOINT).exists()

    assert train.train(interrupted, PLAN).step == 4
    assert sorted(file.name for file in interrupted.iterdir()) == [
        *("README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json"),
    ]
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (straight, interrupted))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    torch.save({"seed": 1}, tmp_path / train.CHECKPOINT)
    with pytest.raises(SystemExit, match="expected a checkpoint of seed 0, got seed 1"):
        train.train(tmp_path, PLAN)


def test_the_card_takes_a_new_table_in_place_of_the_last(tmp_path: Path) -> None:
    train.train(tmp_path, Plan(steps=1))
    for name in ("first", "second"):
        fill_measured(tmp_path, f"| {name} table |")
    card = (tmp_path / "README.md").read_text()
    assert "| second table |" in card
    assert "| first table |" not in card


def test_all_is_learned_but_system_turns_and_first_lines_of_user_turns() -> None:
    tokenizer = model.train_tokenizer(0)
    row = (
        {"role": "system", "content": "Answer well."},
        {"role": "user", "content": "Task: Add 4 and 5.\nAnswer: 8"},
        {"role": "assistant", "content": "Wrong"},
    )
    [encoded] = model.encode(tokenizer, [row])
    learned = [token for token, weight in zip(encoded.ids, encoded.weights, strict=True) if weight]
    assert tokenizer.decode(learned) == "Answer: 8Wrong<|end|>"
    assert sum(encoded.weights) == pytest.approx(len(tokenizer.tokenize("Answer: 8")) ** 0.5 + 2**0.5)


def test_a_batch_learns_no_padding() -> None:
    tokenizer = model.train_tokenizer(0)
    batch = next(train.batches(tokenizer, 0))
    assert batch.ids.shape == batch.targets.shape == batch.weights.shape
    assert not batch.weights[batch.targets == tokenizer.pad_token_id].any()
    assert (batch.weights.sum(1) > 0).all()
