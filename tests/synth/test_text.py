"""Text that goes into prompts: filling is a single pass, control tokens are found and ordinary text is let through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.text import control_token, fill, placeholders, transcript


def test_fill_puts_values_in_and_leaves_other_braces():
    assert fill('{a} and {b}, {"json": {a}}, {}, {A1}', a="x", b="y") == 'x and y, {"json": x}, {}, {A1}'


@given(st.text(), st.text())
def test_what_is_filled_in_is_never_filled_again(first, second):
    assert fill("<{first}|{second}>", first=first, second=second) == f"<{first}|{second}>"


@pytest.mark.parametrize("value", ["{second}", "{first}", "{", "}", "{{first}}", r"\1", r"\g<0>", "{missing}", "%s"])
def test_values_that_look_like_placeholders_stay_as_they_are(value):
    assert fill("{first} {second}", first=value, second="2") == f"{value} 2"


def test_a_placeholder_without_a_value_is_an_error():
    with pytest.raises(KeyError, match="response"):
        fill("{prompt} {response}", prompt="x")


def test_placeholders_are_the_names_a_template_asks_for():
    assert placeholders("{prompt} {response_a} {prompt} {0} {} {Not} {{") == {"prompt", "response_a"}


def test_a_transcript_names_speakers_only_where_there_is_more_than_one_turn():
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    assert transcript(turns[1:2]) == "Hi"
    assert transcript(turns) == "System: Be kind.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye"


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|user|>", "<|channel|>",
        "<\uff5cAssistant\uff5c>", "<\uff5cend▁of▁sentence\uff5c>", "<start_of_turn>", "<end_of_turn>", "<bos>",
        "<eos>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<think>", "</think>", "{{ user }}",
        "{{user.name|upper}}", "{{- x -}}", "{% if admin %}", "{%- for m in messages -%}", "{% raw %}",
    ],
)  # fmt: skip
def test_control_tokens_and_template_syntax_are_found(token):
    assert control_token([token]) == token
    assert control_token(["plain", f"before {token} after"]) == token


@pytest.mark.parametrize(
    "text",
    [
        "x^{2} + y_{n+1} = {3}", r"\frac{a}{b} \sum_{i=1}^{n} {x_i}", "\\newcommand{\\half}{% a comment\n\\frac{1}{2}}",
        '{"a": 1}', '{"a": {"b": [1, 2]}}', "{1, 2} | {3}", "x^{{2}}", "{{1, 2}, {3}}", "{ {a} }",
        "if (a < b) { return a; }", "a | b || c", "a <| b", "xs |> List.map f", "i < n | n > i", "a << b >> c",
        "std::vector<std::pair<int, int>>", "List<String>", "<strong>bold</strong>", "<br/>", "<p>Hi</p>", "x <y> z",
        "grow by 50% {of it}", "printf('%d{%d}')", "f'{name}'", "${HOME}", "#{name}", "[INSTALL]", "[1, 2]",
        "thinking <about> it", "Use <S> for start", "|", "<|>", "a <- b", "p(x | y)", "3 < 4 and 5 > 4",
    ],
)  # fmt: skip
def test_ordinary_maths_and_code_are_no_control_tokens(text):
    assert control_token([text]) is None


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="<[{"))))
def test_text_without_an_opening_bracket_holds_no_control_token(texts):
    assert control_token(texts) is None
