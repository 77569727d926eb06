"""TRL trains on what was exported, with the pocket model: two steps of each trainer."""

import re

import pytest
from datasets import Dataset, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from synth.export import FORMATS, export
from synth.paths import data_dir

POCKET = str(data_dir() / "pocket")


@pytest.fixture(scope="module")
def folder(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trl") / "dataset"
    export(store, FORMATS, folder)
    return folder


@pytest.fixture
def rows(folder, tmp_path):
    return lambda format: load_dataset(str(folder), format, split="train", cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def train(tmp_path):
    def run(trainer: type, config: type, dataset: Dataset) -> None:
        settings = config(
            output_dir=str(tmp_path / "trained"), max_steps=2, per_device_train_batch_size=4, max_length=64,
            learning_rate=1e-3, lr_scheduler_type="constant", use_cpu=True, bf16=False, report_to="none",
            save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(POCKET)
        before = model.lm_head.weight.detach().clone()
        tokenizer = AutoTokenizer.from_pretrained(POCKET)
        result = trainer(model=model, args=settings, train_dataset=dataset, processing_class=tokenizer).train()
        assert result.global_step == 2
        assert not before.equal(model.lm_head.weight)

    return run


def test_sft(rows, train):
    train(SFTTrainer, SFTConfig, rows("sft"))


def test_dpo_on_preference(rows, train):
    train(DPOTrainer, DPOConfig, rows("preference"))


def test_kto_on_unpaired(rows, train):
    dataset = rows("unpaired")
    assert set(dataset["label"]) == {True, False}
    train(KTOTrainer, KTOConfig, dataset)


def test_sft_on_chain_as_the_card_says(folder, rows, train):
    [code] = re.findall(
        r"## Train on chains.*?```python\n(.*?)\nSFTTrainer\(", (folder / "README.md").read_text(), re.DOTALL
    )
    card: dict = {}
    exec(code.replace("MODEL", POCKET), card)
    chains = rows("chain")
    dataset = chains.map(card["tokenize"], remove_columns=chains.column_names)
    tokenizer = card["tokenizer"]
    [row] = [
        row
        for row, chain in zip(dataset, chains, strict=True)
        if chain["text"].endswith("An answer: twelve\n\nAn answer: 15")
    ]
    assert tokenizer.decode([token for token in row["labels"] if token >= 0]) == f"twelve15{tokenizer.eos_token}"
    train(SFTTrainer, SFTConfig, dataset)
