"""Engines, one file each. A model is named `pocket`, `hf:NAME`; others follow the same pattern (DESIGN: engines).

Opening imports only the engine that is asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from synth.engine import Engine
from synth.errors import UsageError, nearest
from synth.paths import data_dir

_MODULES = {"pocket": "synth.engines.transformers", "hf": "synth.engines.transformers"}


def check_spec(spec: str) -> None:
    """Refuse the name of a model that no engine serves, or a folder that is not there. Raises `UsageError`."""
    kind, _, name = spec.partition(":")
    if kind not in _MODULES:
        raise UsageError(f"model {spec!r} not understood: {nearest(kind, _MODULES)} (`pocket`, or `hf:NAME_OR_FOLDER`)")
    if bool(name) == (kind == "pocket"):
        raise UsageError(f"model {spec!r} not understood; write `pocket`, or `hf:NAME_OR_FOLDER`")
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise UsageError(f"model folder {name!r} does not exist")


def open_engine(spec: str) -> Engine:
    """Load the model that `spec` names. Raises `UsageError` where that cannot be done."""
    check_spec(spec)
    engine: Engine = import_module(_MODULES[spec.partition(":")[0]]).open_engine(spec)
    return engine


def locate(spec: str) -> str:
    """Folder of `pocket`, or the folder or Hub name in `hf:NAME`."""
    name = str(data_dir() / "pocket") if spec == "pocket" else spec.removeprefix("hf:")
    folder = Path(name).expanduser()
    return str(folder) if folder.is_dir() else name


def pack_of(spec: str) -> Path | None:
    """The prompt pack that travels with a model: prompts.yaml in its folder, if it is a folder and has one."""
    pack = Path(locate(spec)) / "prompts.yaml"
    return pack if pack.is_file() else None
