"""`burnish demo`, as a new user runs it: once for real, then again without a call."""

import os
import re
import subprocess
import sys
from pathlib import Path

from datasets import load_dataset


def demo(folder: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PREFECT_API_URL": "", "PREFECT_HOME": str(folder / "prefect")}
    command = [str(Path(sys.executable).with_name("burnish")), "demo", "--to", str(folder / "demo")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_makes_everything_and_again_makes_no_call(tmp_path):
    first = demo(tmp_path)
    for kind in ("draft", "critique", "refinement", "judgment", "chain_of_hindsight", "chosen"):
        assert kind in first
    rows = {}
    for name in ("sft", "preference", "unpaired", "chain"):
        rows[name] = load_dataset(
            str(tmp_path / "demo" / "dataset"), name, split="train", cache_dir=str(tmp_path / "cache")
        ).num_rows
    assert min(rows.values()) > 40

    again = demo(tmp_path)
    assert re.search(r"\b0 calls made, 0 answered from the log", again)
    summary = re.compile(r"^(?:items|drafts|critiques|refinements|judgments|chains|preferences) .*$", re.MULTILINE)
    assert summary.findall(first) == summary.findall(again)
    assert len(summary.findall(first)) >= 7
