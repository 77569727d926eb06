"""The pocket tokenizer and model, untrained: how text becomes tokens, and the shape of the network.

Byte-level BPE with every digit a token of its own: a model this small cannot add merged digits.
"""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from synth.pocket.corpus import Message, conversations

SPECIALS = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
PAD, SYSTEM, USER, ASSISTANT, END = SPECIALS
VOCABULARY = 768
CONTEXT = 1024
TOKENIZER_ROWS = 20_000
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] not in ['system', 'user', 'assistant'] -%}
{{- raise_exception("expected role system, user or assistant, got " ~ message['role']) -}}
{%- endif -%}
{{- '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer learned from the first rows of the corpus."""
    tokenizer = Tokenizer(models.BPE())
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = islice(conversations(seed), TOKENIZER_ROWS)
    tokenizer.train_from_iterator((message["content"] for row in rows for message in row.messages), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model; draws its weights from torch's global generator."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**ends)
    return model


class Encoded(NamedTuple):
    """The tokens of a conversation as the chat template renders it, and each token's weight in the loss."""

    ids: list[int]
    weights: list[float]


def encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[tuple[Message, ...]]) -> list[Encoded]:
    """Tokens of many conversations at once.

    The assistant's turns are learned, and of a user's turn all but its first line: prompts quote responses,
    critiques and refinements, so a judge's prompt teaches three more roles. A turn of n learned tokens weighs
    sqrt(n): one-word verdicts count beside long critiques.
    """
    contents = [message["content"] for row in rows for message in row]
    encodings = iter(tokenizer(contents, add_special_tokens=False)["input_ids"])
    marks = {role: tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user", "assistant")}
    [newline] = tokenizer.encode("\n", add_special_tokens=False)
    encoded = []
    for row in rows:
        ids: list[int] = []
        weights: list[float] = []
        for message in row:
            content = [*next(encodings), tokenizer.eos_token_id]
            ids += [marks[message["role"]], *content]
            first, last = 0, len(content)
            if message["role"] != "assistant":
                first, last = content.index(newline) + 1 if newline in content else last - 1, last - 1
            taught = last - first
            weights += [0.0] * (1 + first) + [max(taught, 1) ** -0.5] * taught + [0.0] * (len(content) - last)
        encoded.append(Encoded(ids, weights))
    return encoded
