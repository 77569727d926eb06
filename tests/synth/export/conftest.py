"""A small store with everything the exports read, written as rows: no recipe runs here."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas import Call, Chain, Critique, Item, Judgment, Prompt, Reject, Response, Row, Run
from synth.store import Store

HOSTILE = (
    "</code></pre><script>alert(1)</script>\n```\n# A heading | of mine\n---\nlicense: mit\n---\n"
    "````\n{{ 7 * 7 }} {% raw %} <!-- \u202e\u200b \x1b[31m --> `` ` [link](javascript:x)"
)
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Story:
    """Writes the rows of one run of a recipe on one prompt."""

    def __init__(self, prompt: Prompt, recipe: str) -> None:
        self.rows: list[Row] = [
            prompt,
            Item(item_id=prompt.id, recipe=recipe, work_id=f"wk_{recipe}", run_id="ru_1", status="done"),
        ]
        self.common = {
            "prompt_id": prompt.id, "item_id": prompt.id, "recipe": recipe, "work_id": f"wk_{recipe}",
            "run_id": "ru_1", "model": "pocket", "call_ids": (),
        }  # fmt: skip

    def _keep(self, row: Row) -> Row:
        self.rows.append(row)
        return row

    def draft(self, text: str, index: int = 0) -> Response:
        return self._keep(Response(**self.common, kind="draft", text=text, index=index))

    def refinement(self, parent: Response, text: str, round: int = 1, index: int = 0) -> Response:
        draft_id = parent.draft_id or parent.id
        return self._keep(
            Response(**self.common, kind="refinement", text=text, parent_id=parent.id, draft_id=draft_id,
                     round=round, index=index, noop=text == parent.text)
        )  # fmt: skip

    def critique(self, response: Response, text: str) -> Critique:
        return self._keep(Critique(**self.common, response_id=response.id, text=text, scope="holistic"))

    def judgment(self, kind: str, *responses: Response, **fields) -> Judgment:
        ids = tuple(one.id for one in responses)
        return self._keep(Judgment(**self.common, kind=kind, response_ids=ids, author="model", **fields))

    def comparison(self, first: Response, second: Response, p_first: float, aspect: str | None = None) -> None:
        options = {"options": ("A", "B"), "probabilities": (p_first, 1 - p_first), "aspect": aspect}
        self.judgment("comparison", first, second, **options)

    def chain(self, template: str, *responses: Response) -> Chain:
        segments = [{"kind": "prompt", "text": "Say hello.", "loss": False}]
        for one in responses:
            segments.append({"kind": "marker", "text": "\n\nAn answer: ", "loss": False})
            segments.append({"kind": "response", "text": one.text, "loss": True})
        ids = tuple(one.id for one in responses)
        common = self.common | {"model": None}
        return self._keep(Chain(**common, template=template, segments=tuple(segments), response_ids=ids))


def tell(number: int) -> list[Row]:
    """A prompt that ilf and constitutional_ai ran on, and the chains made of it."""
    prompt = Prompt(messages=({"role": "user", "content": f"Add {number} and 5."},), reference=str(number + 5))
    ilf = Story(prompt, "ilf")
    draft = ilf.draft("twelve")
    ilf.critique(draft, "It is not a number.")
    refined = [
        ilf.refinement(draft, text, index=index) for index, text in enumerate((f"{number + 5}", "about 12", "12?"))
    ]
    ilf.judgment("ranking", *refined, scores=(0.9, 0.4, 0.2), verdict=refined[0].id, aspect="yes_no_ensemble")
    cai = Story(prompt, "constitutional_ai")
    first = cai.draft("No idea, fool.")
    second = cai.refinement(first, "No idea.")
    cai.refinement(second, f"It is {number + 5}.", round=2)
    a, b = cai.draft("Six.", index=1), cai.draft("Seven.", index=2)
    cai.comparison(a, b, 0.7)
    cai.comparison(b, a, 0.5)
    coh = Story(prompt, "chain_of_hindsight")
    coh.chain("worse_to_better", draft, refined[0])
    coh.chain("better", refined[0])
    return [*ilf.rows, *cai.rows, *coh.rows]


def run_rows() -> list[Row]:
    models = {
        "default": "pocket",
        "judge": "openai:big@https://me:hunter2@10.0.0.7:8000/v1",
        "critic": "hf:/srv/w/critic",
    }
    prompts = "/home/me/secret-project/prompts.jsonl"
    config = json.dumps({"recipes": ["ilf", "constitutional_ai"], "prompts": prompts, "seed": 3, "models": models})
    run = Run(config=config, work_ids=("wk_ilf",), version="0.1.0", started_at=WHEN, updated_at=WHEN, status="done")
    call = Call(
        id="ca_1", verb="say", model="hf:/srv/w/critic", fingerprint="f1", role="critic", recipe="ilf", item_id="pr_1",
        run_id="ru_1", request="{}", seed=1, text="x", finish="stop", prompt_tokens=9, completion_tokens=4,
        engine="transformers", started_at=WHEN, seconds=0.1,
    )  # fmt: skip
    reject = Reject(reason="truncated", detail="cut off", raw=HOSTILE, recipe="ilf", run_id="ru_1")
    line = Reject(
        reason="empty_prompt", detail="line 3 is empty", raw="", source="prompts.jsonl", line=3, run_id="ru_1"
    )
    return [run, call, reject, line]


def write_store(path: Path, rows: list[Row]) -> Store:
    store = Store(path, create=True)
    writer = store.writer()
    writer.write(rows)
    writer.close()
    return store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    rows = [row for number in range(10, 18) for row in tell(number)]
    return write_store(tmp_path_factory.mktemp("export") / "store", [*run_rows(), *rows])
