"""CPU time per call of the runtime, call log and store, on an engine that answers at once, against bare asyncio."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from schemas import RunConfig
from synth.engine import Request, Sampling, Say
from synth.engines.scripted import ScriptedEngine
from synth.session import run

PROMPTS = 1_000
ROUNDS = 3


def script(request: Request, seed: int | None) -> str | tuple[float, float]:
    return f"{'answer ' * 40}{seed}" if isinstance(request, Say) else (0.6, 0.4)


def through_burnish(folder: Path) -> tuple[int, float]:
    """Calls made, and CPU seconds, of constitutional_ai over the prompts, durable and with all its records."""
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"{n} {'word ' * 50}"}) + "\n" for n in range(PROMPTS)))
    config = RunConfig(recipes=("constitutional_ai",), prompts=str(prompts), store=str(folder / "store"))
    begun = time.process_time()
    session = run(config, {"default": ScriptedEngine(script)})
    return session.log.tally.calls_made, time.process_time() - begun


def bare(calls: int) -> float:
    """CPU seconds of the same number of awaited answers and nothing else."""
    engine = ScriptedEngine(script)
    request = Say(({"role": "user", "content": "word " * 50},), Sampling())

    async def all_calls() -> None:
        for start in range(0, calls, 256):
            await asyncio.gather(
                *(engine.answer(request, (seed,), 0) for seed in range(start, min(start + 256, calls)))
            )

    begun = time.process_time()
    asyncio.run(all_calls())
    return time.process_time() - begun


def main() -> None:
    with tempfile.TemporaryDirectory() as warm_up:
        through_burnish(Path(warm_up))
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            calls, seconds = through_burnish(Path(folder))
        alone = bare(calls)
        print(
            f"{calls:,} calls: {seconds / calls * 1e3:.3f} ms CPU per call (target 0.2), "
            f"{alone / calls * 1e3:.3f} ms bare, ratio {seconds / alone:.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
