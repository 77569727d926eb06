"""`burnish demo`: the main job once, on what comes with Burnish, and a look at what it made."""

from __future__ import annotations

from pathlib import Path

from rich.syntax import Syntax
from rich.text import Text

from flows.display import console, show_example, show_rows, show_summary
from flows.progress import run_watched
from schemas import RunConfig
from synth.export import FORMATS, export
from synth.paths import data_dir
from synth.store import Store

QUERY = """SELECT f.recipe, count(*) AS items,
       avg((d.text = p.reference)::INT) AS draft_right,
       avg((f.text = p.reference)::INT) AS final_right
FROM finals f
JOIN drafts d ON d.id = f.draft_id
JOIN prompts p ON p.id = f.prompt_id
GROUP BY f.recipe ORDER BY f.recipe"""


def run_demo(folder: Path) -> None:
    """Run three recipes with the pocket model into `folder`/store, show the result, export it beside."""
    store_dir, dataset_dir = folder / "store", folder / "dataset"
    config = RunConfig(
        recipes=("ilf", "constitutional_ai", "chain_of_hindsight"),
        prompts=str(data_dir() / "prompts" / "pocket.jsonl"),
        store=str(store_dir),
    )
    console.rule("1. Three recipes on the bundled prompts, with the pocket model", align="left")
    run_id = run_watched(config)
    store = Store(store_dir)
    show_summary(store, run_id)
    console.rule("2. One prompt", align="left")
    show_example(store, _telling_prompt(store))
    console.rule("3. A question in SQL", align="left")
    console.print(Syntax(QUERY, "sql", background_color="default"))
    with store.connect() as connection:
        result = connection.sql(QUERY)
        show_rows(result.columns, result.fetchall())
    console.rule("4. The datasets", align="left")
    for one in export(store, FORMATS, dataset_dir):
        console.print(Text(f"{one.rows:>7,} rows  {one.path}"))
    console.print(Text(f"{'':>7}       {dataset_dir / 'README.md'} (dataset card)"))


def _telling_prompt(store: Store) -> str:
    """A prompt whose draft was wrong and whose chosen refinement is right, if there is one."""
    [[prompt_id]] = store.sql(
        """
        SELECT p.id FROM prompts p
        JOIN finals f ON f.prompt_id = p.id AND f.recipe = 'ilf'
        JOIN responses d ON d.id = f.draft_id
        JOIN chains c ON c.prompt_id = p.id AND list_contains(c.response_ids, f.id)
        LEFT JOIN comparisons k ON k.prompt_id = p.id
        ORDER BY (f.text = p.reference AND k.p_a IS NOT NULL) DESC, (NOT contains(d.text, p.reference)) DESC, p.id
        LIMIT 1
        """
    ).rows()
    return str(prompt_id)
