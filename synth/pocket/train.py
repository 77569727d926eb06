"""Trains the pocket model from scratch: `python -m synth.pocket.train --out data/pocket --minutes 50`.

Everything but the clock comes from the seed. The learning rate falls to zero over the given minutes or steps.
A checkpoint in the output folder lets an interrupted run go on; it is removed at the end. Every file is
replaced atomically, and a usable model is written every few minutes. Muon trains the matrices: with AdamW a
model this small needed over five times the tokens before it copied from its prompt.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Muon
from transformers import AttentionInterface, AttentionMaskInterface, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from synth.paths import data_dir
from synth.pocket.card import write_card
from synth.pocket.corpus import conversations
from synth.pocket.model import Encoded, encode, new_model, train_tokenizer

log = logging.getLogger("synth.pocket.train")

POOL_ROWS = 4096
BATCH_ROWS = 64
WARMUP_STEPS = 100
CHECKPOINT_S = 120.0
PUBLISH_S = 600.0
CHECKPOINT = "checkpoint.pt"
ATTENTION = "sdpa_in_float32"


@dataclass(frozen=True)
class Plan:
    """How long and how hard to train; a run stops after `steps`, or after `minutes` where steps is 0."""

    seed: int = 0
    steps: int = 0
    minutes: float = 50.0
    peak_rate: float = 4e-3
    embedding_rate: float = 2e-3
    weight_decay: float = 0.01
    device: str = "cpu"


@dataclass
class Progress:
    """What has been done so far, over all resumptions."""

    step: int = 0
    tokens: int = 0
    learned_tokens: int = 0
    seconds: float = 0.0

    def share(self, plan: Plan) -> float:
        return self.step / plan.steps if plan.steps else self.seconds / (60 * plan.minutes)


@dataclass(frozen=True)
class Batch:
    """Right-padded rows of like length; causal attention never looks at the padding, so it needs no mask."""

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Batch]:
    """Endless batches: pools of rows sorted by length, cut, and shuffled."""
    rows, rng = conversations(seed), Random(f"batches/{seed}")
    while True:
        pool = encode(tokenizer, [row.messages for row in islice(rows, POOL_ROWS)])
        pool.sort(key=lambda row: len(row.ids))
        cut = [pool[at : at + BATCH_ROWS] for at in range(0, POOL_ROWS, BATCH_ROWS)]
        rng.shuffle(cut)
        for group in cut:
            yield _collate(group, tokenizer.pad_token_id)


def _collate(group: list[Encoded], pad: int) -> Batch:
    width = max(len(row.ids) for row in group)
    ids = torch.full((len(group), width), pad)
    weights = torch.zeros(len(group), width)
    for at, row in enumerate(group):
        ids[at, : len(row.ids)] = torch.tensor(row.ids)
        weights[at, : len(row.ids)] = torch.tensor(row.weights)
    return Batch(ids[:, :-1], ids[:, 1:], weights[:, 1:])


def loss_of(model: LlamaForCausalLM, batch: Batch, device: str) -> torch.Tensor:
    """Weighted mean cross-entropy over the learned tokens; products in bfloat16, the rest in float32."""
    learned = batch.weights > 0
    with torch.autocast(device, torch.bfloat16):
        hidden = model.model(input_ids=batch.ids.to(device), use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[learned.to(device)])
    losses = cross_entropy(logits.float(), batch.targets[learned].to(device), reduction="none")
    weights = batch.weights[learned].to(device)
    return (losses * weights).sum() / weights.sum()


def train(out: Path, plan: Plan) -> Progress:
    """Trains to the end of the plan, from a checkpoint in `out` if there is one, and writes the model there."""
    torch.manual_seed(plan.seed)
    tokenizer = train_tokenizer(plan.seed)
    model = new_model(tokenizer).to(plan.device)
    AttentionInterface.register(ATTENTION, _attend_in_float32)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    model.set_attn_implementation(ATTENTION)
    optimizers = _optimizers(model, plan)
    progress = _resume(out, plan, model, optimizers)
    source = islice(batches(tokenizer, plan.seed), progress.step, None)
    started = time.monotonic() - progress.seconds
    saved = published = time.monotonic()
    model.train()
    while progress.share(plan) < 1:
        loss = _step(model, optimizers, next(source), plan, progress)
        progress.seconds = time.monotonic() - started
        if progress.step % 100 == 0:
            _report(progress, plan, loss)
        if time.monotonic() - saved > CHECKPOINT_S:
            saved = time.monotonic()
            _save_checkpoint(out, plan, model, optimizers, progress)
        if time.monotonic() - published > PUBLISH_S:
            published = time.monotonic()
            publish(out, plan, model, tokenizer, progress)
    publish(out, plan, model, tokenizer, progress)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return progress


def _attend_in_float32(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **rest: object,
) -> tuple[torch.Tensor, None]:
    """The bfloat16 backward pass of attention is five times slower on a CPU."""
    with torch.autocast(query.device.type, enabled=False):
        attended, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **rest)
    return attended, None


def _optimizers(model: LlamaForCausalLM, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embeddings and gains."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if all(weight is not matrix for matrix in matrices)]
    return [
        Muon(matrices, plan.peak_rate, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(others, plan.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _step(
    model: LlamaForCausalLM,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: Batch,
    plan: Plan,
    progress: Progress,
) -> torch.Tensor:
    factor = min(1.0, (progress.step + 1) / WARMUP_STEPS) * max(0.0, 1 - progress.share(plan)) ** 2
    loss = loss_of(model, batch, plan.device)
    loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, peak in zip(optimizers, (plan.peak_rate, plan.embedding_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = peak * factor
        optimizer.step()
        optimizer.zero_grad()
    progress.step += 1
    progress.tokens += batch.ids.numel()
    progress.learned_tokens += int((batch.weights > 0).sum())
    return loss


def _report(progress: Progress, plan: Plan, loss: torch.Tensor) -> None:
    rate = progress.tokens / progress.seconds
    done = f"{progress.share(plan):.1%}"
    log.info("step %d, %s done, loss %.4f, %.0f tokens/s", progress.step, done, loss.item(), rate)


def _save_checkpoint(
    out: Path,
    plan: Plan,
    model: LlamaForCausalLM,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    state = {"seed": plan.seed, "progress": asdict(progress), "model": model.state_dict()}
    state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
    torch.save(state, out / f"{CHECKPOINT}.part")
    os.replace(out / f"{CHECKPOINT}.part", out / CHECKPOINT)


def _resume(out: Path, plan: Plan, model: LlamaForCausalLM, optimizers: Sequence[torch.optim.Optimizer]) -> Progress:
    out.mkdir(parents=True, exist_ok=True)
    if not (out / CHECKPOINT).exists():
        return Progress()
    state = torch.load(out / CHECKPOINT, map_location=plan.device, weights_only=True)
    if state["seed"] != plan.seed:
        raise SystemExit(
            f"expected a checkpoint of seed {plan.seed}, got seed {state['seed']}; remove {out / CHECKPOINT}"
        )
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    log.info("going on from step %d", state["progress"]["step"])
    return Progress(**state["progress"])


def publish(
    out: Path, plan: Plan, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, progress: Progress
) -> None:
    """Replaces the model's files in `out` one by one, each complete."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_card(Path(folder), _facts(plan, model, progress))
        for file in sorted(Path(folder).iterdir()):
            file.chmod(0o644)
            os.replace(file, out / file.name)
    log.info("wrote a model of step %d to %s", progress.step, out)


def _facts(plan: Plan, model: LlamaForCausalLM, progress: Progress) -> dict[str, float | str]:
    length = f"--steps {plan.steps}" if plan.steps else f"--minutes {plan.minutes:g}"
    return {
        "command": f"python -m synth.pocket.train --out data/pocket {length} --seed {plan.seed}",
        "seed": plan.seed,
        "parameters": sum(weight.numel() for weight in model.parameters()) / 1e6,
        "rows": BATCH_ROWS,
        "minutes": progress.seconds / 60,
        "machine": _machine(plan),
        **asdict(progress),
    }


def _machine(plan: Plan) -> str:
    if plan.device == "cpu":
        return f"{os.cpu_count()} CPU cores, shared with other work"
    return torch.cuda.get_device_name(plan.device)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the pocket model from scratch.")
    add = partial(parser.add_argument, metavar="")
    add("--out", type=Path, default=data_dir() / "pocket", help="folder of the model (default: data/pocket)")
    add("--minutes", type=float, default=Plan.minutes, help="training time (default: %(default)s)")
    add("--steps", type=int, default=Plan.steps, help="train for so many steps instead")
    add("--seed", type=int, default=Plan.seed, help="of data and weights (default: %(default)s)")
    add("--rate", type=float, default=Plan.peak_rate, help="peak learning rate (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    device = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(options.seed, options.steps, options.minutes, options.rate, device=device)
    train(options.out, plan)


if __name__ == "__main__":
    main()
