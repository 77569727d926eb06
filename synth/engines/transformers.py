"""The transformers engine: any causal language model of transformers, on CPU or CUDA, with dynamic batches.

Requests wait in a queue. A worker takes the earliest, fills a batch with others of the same verb and about the same
length, and runs it in a thread of its own, so that the next requests arrive meanwhile. Every row of a batch draws with
its own seed, so a text does not depend on the rows beside it (up to the rounding of the arithmetic). A request that
the context cannot hold is refused, never cut.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor, StoppingCriteria

from schemas import Message
from synth.engine import Answer, Choose, Embed, Loglik, Model, Request, Sampling, Say
from synth.engines import locate
from synth.engines.weights import fingerprint
from synth.errors import BurnishError, EngineError, Interrupted, ItemRejected, TooLong, UsageError

# A spelling of an option that takes several tokens is followed only if its first token is at least this likely.
FOLLOWED_FROM = math.log(1e-4)
CPU_BATCH_TOKENS = 32_768  # more rows at once are no faster there
BATCH_ROWS = 128


def open_engine(spec: str, device: str = "auto", dtype: str = "auto") -> TransformersEngine:
    """Load `pocket` or `hf:NAME_OR_FOLDER`; dtype `auto` is float32 on CPU and the weights' own on CUDA."""
    path = locate(spec)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model, loaded = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"cannot load model {spec!r}: {first}; give a Hub name or a folder with safetensors"
        ) from error
    if missing := sorted(loaded["missing_keys"]):
        raise UsageError(f"model {spec!r} lacks weights, {missing[0]} among {len(missing)}; get its files again")
    if not tokenizer.chat_template:
        raise UsageError(f"model {spec!r} has no chat template; use an instruction-tuned model")
    # A folder goes by its last name: where it lies on this machine is nobody's business who reads the data.
    name = f"hf:{Path(path).resolve().name}" if spec != "pocket" and Path(path).is_dir() else spec
    return TransformersEngine(Model(name, fingerprint(path, model)), model.to(device).eval(), tokenizer)


@dataclass(slots=True)
class _Job:
    """One row to compute: a request with one seed, its tokens, and who waits for it."""

    request: Request
    seed: int | None
    priority: int
    context: list[int]
    continuation: list[int]
    future: asyncio.Future[Answer]

    @property
    def length(self) -> int:
        room = self.request.sampling.max_tokens if isinstance(self.request, Say) else len(self.continuation)
        return len(self.context) + room


class TransformersEngine:
    """Keeps the contract of `synth.engine.Engine`."""

    name = "transformers"

    def __init__(self, model: Model, network: Any, tokenizer: Any) -> None:
        self.model = model
        ends = network.generation_config.eos_token_id
        self._chat = _Chat(tokenizer, ends if isinstance(ends, list) else [ends])
        # The sampling of a request is all the sampling there is: no penalties from the model's own defaults.
        network.generation_config = GenerationConfig()
        self._network = network
        self._context = int(getattr(network.config.get_text_config(), "max_position_embeddings", 0) or 2**20)
        self._batch_tokens = _batch_tokens(network)
        self._waiting: list[_Job] = []
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="burnish-model")

    def check(self, text: str) -> str | None:
        return next((token for token in self._chat.control_tokens if token in text), None)

    async def answer(self, request: Request, seeds: tuple[int | None, ...], priority: int) -> list[Answer]:
        context, continuation = self._chat.encode(request)
        jobs = [
            _Job(request, seed, priority, context, continuation, asyncio.get_running_loop().create_future())
            for seed in seeds
        ]
        if jobs[0].length > self._context:
            raise TooLong(jobs[0].length, self._context, self._chat.tail(context))
        self._waiting += jobs
        self._arrived.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.gather(*(job.future for job in jobs))

    def drop_waiting(self) -> None:
        _fail(self._waiting, Interrupted("stopped before this call"))
        self._waiting = []

    async def close(self) -> None:
        if self._worker:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._thread.shutdown(cancel_futures=True)

    async def _work(self) -> None:
        while True:
            self._arrived.clear()
            await asyncio.sleep(0)  # let everyone who is ready ask before a batch is made
            while batch := self._take_batch():
                try:
                    answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, batch)
                except Exception as error:  # noqa: BLE001 - whatever the model raises ends the engine, not the process
                    failure = EngineError(f"{self.model.name} failed: {type(error).__name__}: {error}")
                    failure.__cause__ = error
                    _fail(batch + self._waiting, failure)
                    self._waiting = []
                    return
                for job, answer in zip(batch, answers, strict=True):
                    if not job.future.done():
                        job.future.set_result(answer)
                await asyncio.sleep(0)
            await self._arrived.wait()

    def _take_batch(self) -> list[_Job]:
        """The earliest request and those like it: same verb, padding at most a third, within the batch's tokens."""
        waiting = sorted((job for job in self._waiting if not job.future.done()), key=lambda job: job.priority)
        batch: list[_Job] = []
        longest = 0
        for job in waiting:
            first = batch[0] if batch else job
            longest = max(longest, job.length)
            alike = (
                type(job.request) is type(first.request) and abs(job.length - first.length) <= 16 + first.length // 3
            )
            fits = len(batch) < BATCH_ROWS and longest * (len(batch) + 1) <= self._batch_tokens
            if job is first or (alike and fits):
                batch.append(job)
            else:
                longest = max(other.length for other in batch)
        taken = {id(job) for job in batch}
        self._waiting = [job for job in waiting if id(job) not in taken]
        return batch

    # Everything below runs in the engine's thread.

    @torch.inference_mode()
    def _run(self, batch: list[_Job]) -> list[Answer]:
        verbs = {Say: self._say, Choose: self._choose, Loglik: self._loglik, Embed: self._embed}
        try:
            return verbs[type(batch[0].request)](batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        self._batch_tokens = max(self._batch_tokens // 2, 1)
        middle = len(batch) // 2
        return self._run(batch[:middle]) + self._run(batch[middle:])

    def _say(self, batch: list[_Job]) -> list[Answer]:
        inputs = self._pad([job.context for job in batch])
        width = inputs["input_ids"].shape[1]
        samplings = [job.request.sampling for job in batch if isinstance(job.request, Say)]
        chat = self._chat
        output = self._network.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max(sampling.max_tokens for sampling in samplings),
            logits_processor=[_Draw(samplings, [job.seed for job in batch], width, self._network.device)],
            stopping_criteria=[_Stop(samplings, width, chat)],
            pad_token_id=chat.pad_id,
            eos_token_id=chat.end_ids,
        )
        return [
            chat.decode(row[width:].tolist(), sampling, len(job.context))
            for row, sampling, job in zip(output, samplings, batch, strict=True)
        ]

    def _choose(self, batch: list[_Job]) -> list[Answer]:
        logits = self._network(**self._pad([job.context for job in batch]), logits_to_keep=1, use_cache=False).logits
        first = torch.log_softmax(logits[:, -1].float(), -1).cpu()
        found: list[list[list[float]]] = []  # per job and option, the log-probability of each spelling
        longer: list[tuple[list[float], list[int], list[int]]] = []  # where to add, context, spelling
        for job, row in zip(batch, first, strict=True):
            options = job.request.options if isinstance(job.request, Choose) else ()
            found.append([[] for _ in options])
            for option, spellings in zip(options, found[-1], strict=True):
                for ids in self._chat.spellings(option):
                    if len(ids) == 1:
                        spellings.append(row[ids[0]].item())
                    elif row[ids[0]].item() >= FOLLOWED_FROM:
                        longer.append((spellings, job.context, ids))
        if longer:
            scores = self._score([context for _, context, _ in longer], [ids for *_, ids in longer])
            for (spellings, *_), score in zip(longer, scores, strict=True):
                spellings.append(math.fsum(score))
        return [
            Answer(values=tuple(map(_logsumexp, options)), prompt_tokens=len(job.context))
            for job, options in zip(batch, found, strict=True)
        ]

    def _loglik(self, batch: list[_Job]) -> list[Answer]:
        scores = self._score([job.context for job in batch], [job.continuation for job in batch])
        return [
            Answer(values=tuple(score), prompt_tokens=len(job.context) + len(job.continuation))
            for job, score in zip(batch, scores, strict=True)
        ]

    def _embed(self, batch: list[_Job]) -> list[Answer]:
        inputs = self._pad([job.context for job in batch])
        hidden = self._network(**inputs, output_hidden_states=True, use_cache=False).hidden_states[-1].float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        means = (hidden * mask).sum(1) / mask.sum(1)
        return [
            Answer(values=tuple(mean.tolist()), prompt_tokens=len(job.context))
            for mean, job in zip(means, batch, strict=True)
        ]

    def _score(self, contexts: Sequence[list[int]], continuations: Sequence[list[int]]) -> list[list[float]]:
        """Log-probability of each token of each continuation after its context."""
        inputs = self._pad([context + ids for context, ids in zip(contexts, continuations, strict=True)])
        keep = max(map(len, continuations)) + 1
        logits = self._network(**inputs, logits_to_keep=keep, use_cache=False).logits
        chances = torch.log_softmax(logits.float(), -1)
        return [
            row[keep - 1 - len(ids) : keep - 1]
            .gather(1, torch.tensor(ids, device=row.device).unsqueeze(1))
            .squeeze(1)
            .tolist()
            for row, ids in zip(chances, continuations, strict=True)
        ]

    def _pad(self, rows: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self._chat.pad_id)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, width - len(row) :] = torch.tensor(row)
            mask[index, width - len(row) :] = 1
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        device = self._network.device
        return {
            "input_ids": ids.to(device),
            "attention_mask": mask.to(device),
            "position_ids": positions.to(device),
        }


class _Chat:
    """Turns requests into tokens and tokens into text. Control tokens inside a message stay plain text."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int | None]) -> None:
        self._tokenizer = tokenizer
        self.control_tokens = [token for token in tokenizer.all_special_tokens if token.strip()]
        self.end_ids = sorted({end for end in (*end_ids, tokenizer.eos_token_id) if end is not None})
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self._spellings: dict[str, list[list[int]]] = {}

    def encode(self, request: Request) -> tuple[list[int], list[int]]:
        """Tokens of the context, and of the continuation to be scored, if any."""
        if isinstance(request, Embed):
            return self._plain(request.text), []
        if isinstance(request, Loglik):
            return self._render(request.messages, request.role), self._plain(request.continuation)
        return self._render(request.messages, "assistant"), []

    def spellings(self, option: str) -> list[list[int]]:
        """The token sequences that say the option: bare, after a space, after an opening bracket."""
        if option not in self._spellings:
            found = {tuple(self._plain(text)) for text in (option, f" {option}", f"({option}")}
            self._spellings[option] = [list(ids) for ids in sorted(found)]
        return self._spellings[option]

    def decode(self, ids: list[int], sampling: Sampling, prompt_tokens: int) -> Answer:
        end = next((index for index, token in enumerate(ids) if token in self.end_ids), None)
        said = ids[:end][: sampling.max_tokens]
        text = self.text(said)
        cut = min((at for stop in sampling.stop if (at := text.find(stop)) >= 0), default=None)
        ended = cut is not None or (end is not None and end <= sampling.max_tokens)
        return Answer(
            text=text[:cut],
            finish="stop" if ended else "length",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(said) + (end is not None),
        )

    def text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def tail(self, ids: list[int]) -> str:
        """The end of a context that is too long, for the reject."""
        return self.text(ids[-200:])

    def _plain(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def _render(self, messages: Sequence[Message], role: str) -> list[int]:
        """Tokens up to where the given role's turn goes on."""
        marked = [{**message, "content": f"⁂{index}⁂"} for index, message in enumerate(messages)]
        continued = role == "assistant" and messages[-1]["role"] == "assistant"
        if role == "user":
            marked.append({"role": "user", "content": "⁂end⁂"})
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                marked,
                tokenize=False,
                add_generation_prompt=role == "assistant" and not continued,
                continue_final_message=continued,
            )
        except jinja2.TemplateError as error:
            raise ItemRejected("template", f"the model's chat template refuses it: {error}", str(messages)) from error
        pieces = re.split("⁂([0-9]+)⁂", rendered.partition("⁂end⁂")[0])
        pieces[1::2] = [messages[int(index)]["content"] for index in pieces[1::2]]
        if not any(token in content for content in pieces[1::2] for token in self.control_tokens):
            ids: list[int] = self._tokenizer.encode("".join(pieces), add_special_tokens=False)
            return ids
        ids = []
        for index, piece in enumerate(pieces):
            ids += self._plain(piece) if index % 2 else self._tokenizer.encode(piece, add_special_tokens=False)
        return ids


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Draws one token per row with the row's own sampling and seed, and leaves only that token possible.

    By inversion: a row's seed fixes one uniform number per step, and the token is the one whose share of the
    cumulated probability, most likely first, contains it.
    """

    def __init__(self, samplings: Sequence[Sampling], seeds: Sequence[int | None], width: int, device: Any) -> None:
        steps = max(sampling.max_tokens for sampling in samplings)
        self._uniform = torch.stack(
            [torch.rand(steps, generator=torch.Generator().manual_seed((seed or 0) % 2**63)) for seed in seeds]
        ).to(device)
        self._width = width
        self._greedy = torch.tensor([sampling.temperature == 0 for sampling in samplings], device=device)
        temperatures = torch.tensor([sampling.temperature or 1.0 for sampling in samplings], device=device)
        self._temperature = temperatures.unsqueeze(1)
        self._top_p = torch.tensor([sampling.top_p for sampling in samplings], device=device).unsqueeze(1)
        self._top_k = torch.tensor([sampling.top_k or 2**31 for sampling in samplings], device=device).unsqueeze(1)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        ranked, order = (scores.float() / self._temperature).sort(dim=-1, descending=True)
        chances = ranked.softmax(-1)
        before = chances.cumsum(-1) - chances
        places = torch.arange(chances.shape[1], device=chances.device)
        chances = chances.masked_fill((before >= self._top_p) | (places >= self._top_k), 0)
        total = chances.cumsum(-1)
        wanted = self._uniform[:, input_ids.shape[1] - self._width].unsqueeze(1) * total[:, -1:]
        place = (total <= wanted).sum(-1).clamp(max=chances.shape[1] - 1).masked_fill(self._greedy, 0)
        token = order.gather(1, place.unsqueeze(1))
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends a row at its own number of tokens or at one of its stop strings."""

    def __init__(self, samplings: Sequence[Sampling], width: int, chat: _Chat) -> None:
        self._samplings = samplings
        self._width = width
        self._chat = chat

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        said = input_ids.shape[1] - self._width
        done = [
            said >= sampling.max_tokens or (bool(sampling.stop) and self._has_stop(row, sampling))
            for row, sampling in zip(input_ids, self._samplings, strict=True)
        ]
        return torch.tensor(done, device=input_ids.device)

    def _has_stop(self, row: Any, sampling: Sampling) -> bool:
        text = self._chat.text(row[self._width :].tolist())
        return any(stop in text for stop in sampling.stop)


def _fail(jobs: Sequence[_Job], failure: BurnishError) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(failure)


def _logsumexp(values: Sequence[float]) -> float:
    """Log of the sum of probabilities given as logs; of none, a probability of about nothing."""
    if not values:
        return FOLLOWED_FROM
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def _batch_tokens(network: Any) -> int:
    """How many tokens a batch may hold, so that its keys and values take at most half of the free memory."""
    config = network.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * heads * head_size * network.dtype.itemsize
    if network.device.type == "cuda":
        return max(int(torch.cuda.mem_get_info()[0] * 0.5 / per_token), 1024)
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(max(int(free * 0.5 / per_token), 1024), CPU_BATCH_TOKENS)
