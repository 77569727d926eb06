"""How data is made: recipes, runtime, call log, store, engines and exports.

from schemas import RunConfig
from synth import run
from synth.export import export

store = run(RunConfig(recipes=["ilf"], prompts="prompts.jsonl", store="feedback")).store
print(store.sql("SELECT chosen, rejected, p_chosen FROM preferences"))
export(store, ["sft", "preference"], to="dataset")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synth.session import Session, run
    from synth.store import Store

_HOMES = {"Session": "synth.session", "Store": "synth.store", "run": "synth.session"}

__all__ = ["Session", "Store", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Loaded when first used, so that `import synth` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'synth' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
