"""A fingerprint of a model's files, for the key of its calls."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

WHOLE_UP_TO = 256 * 2**20
PIECES = 64
_SUFFIXES = {".safetensors", ".json", ".jinja", ".model"}


def fingerprint(path: str, model: Any) -> str:
    """Hash of what decides a model's answers.

    For a Hub model, its commit. For a folder, weights, configuration and tokenizer: files up to 256 MiB whole, larger
    ones by their size and 64 evenly spaced pieces of 1 MiB.
    """
    if not Path(path).is_dir():
        return str(getattr(model.config, "_commit_hash", None) or path)
    digest = blake2b(digest_size=12)
    for file in sorted(p for p in Path(path).iterdir() if p.suffix in _SUFFIXES):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}\n".encode())
        with file.open("rb") as opened:
            if size <= WHOLE_UP_TO:
                digest.update(opened.read())
                continue
            for index in range(PIECES):
                opened.seek(index * (size - 2**20) // (PIECES - 1), os.SEEK_SET)
                digest.update(opened.read(2**20))
    return digest.hexdigest()
