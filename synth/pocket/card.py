"""The pocket model's card: written by training, its table of measurements filled in by evaluation."""

from pathlib import Path

CARD = "README.md"
_START, _END = "<!-- measured -->", "<!-- /measured -->"
_TEXT = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# The pocket model

A Llama of {parameters:.1f} M parameters that plays every role of a language-feedback recipe in a world of tasks
with exact answers: adding two-digit numbers, sorting a few numbers, removing named words from a sentence. It
drafts (often wrongly, rudely, wordily or hedging, on purpose), criticises in words, rewrites given a critique,
judges, and applies four principles.

## Use

It is Burnish's default model, its test model, and the instrument with which each recipe's claim is checked.
It loads with plain `AutoModelForCausalLM` and `AutoTokenizer`, on a CPU. Ask it with the prompts of
`prompts.yaml` and the principles of `../constitutions/pocket.yaml`; it knows no others, and nothing about the
world. It is of no use as an assistant.

## Make

    {command}

Trained from scratch on text that `synth/pocket/corpus.py` generates, with no other data. Seed {seed};
{step:,} steps of {rows} rows; {tokens:,} tokens, of which {learned_tokens:,} carried loss (the assistant's turns,
and user turns after their first line); {minutes:.0f} minutes on {machine}. The seed fixes the data; the weights
also depend on the hardware's rounding and, with `--minutes`, on the clock, which sets the learning rate
(`--steps {step}` takes the same data without the clock). GPU training time was not measured: no GPU was at hand.

Shape: hidden size 192, 4 layers, 3 heads of 64, feed-forward 512, RoPE, tied embeddings, float32 (products in
bfloat16 while training). Byte-level BPE of 768 tokens, every digit a token of its own; turns are marked
`<|system|>`, `<|user|>`, `<|assistant|>` and closed by `<|end|>`.

## Measured

On held-out tasks, which no training text contains. `python -m synth.pocket.evaluate --card` rewrites this:

{start}
Not measured yet.
{end}

## License

Apache-2.0, weights and text alike.
"""


def write_card(folder: Path, facts: dict[str, float | str]) -> None:
    """Writes the card from the facts of a training run, with no measurements yet."""
    (folder / CARD).write_text(_TEXT.format(**facts, start=_START, end=_END))


def fill_measured(folder: Path, table: str) -> None:
    """Puts a table of measurements into a card in place of the last one."""
    card = (folder / CARD).read_text()
    before, _, rest = card.partition(_START)
    _, _, after = rest.partition(_END)
    (folder / CARD).write_text(f"{before}{_START}\n{table}\n{_END}{after}")
