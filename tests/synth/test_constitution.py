"""Constitutions: the shipped files load, and each way to write one wrongly gives one line."""

import pytest

from synth.constitution import load_constitution
from synth.errors import UsageError
from synth.paths import data_dir

SHIPPED = sorted(path.stem for path in (data_dir() / "constitutions").glob("*.yaml"))

GOOD = """
id: mine
title: Mine
source: me
principles:
  - {id: brief, text: Be brief., critique_request: Say if it is long., revision_request: Shorten it., source: me}
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_constitutions_load(name):
    constitution, principles = load_constitution(name)
    assert constitution.name == name
    assert constitution.principle_ids == tuple(principle.id for principle in principles)
    for principle in principles:
        assert all((principle.text, principle.critique_request, principle.revision_request, principle.source))


def test_there_is_one_for_general_use_one_for_the_pocket_world_and_one_for_a_domain():
    assert {"general", "pocket"} < set(SHIPPED)


def test_a_file_of_ones_own_is_given_by_its_path(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(GOOD)
    constitution, [principle] = load_constitution(str(path))
    assert (constitution.name, principle.name, principle.source) == ("mine", "brief", "me")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expects id, title, source and principles .* got None"),
        ("just text", "expects .* got 'just text'"),
        ("- a\n- list", r"expects .* got \['a', 'list'\]"),
        ("id: [unclosed", "cannot read constitution"),
        (b"id: \xff\xfe\xfa", "cannot read constitution"),
        (GOOD.replace("title: Mine", "titel: Mine"), "missing 'title'"),
        (GOOD.replace("principles:", "principle:"), "missing 'principles'"),
        (GOOD.replace("id: brief, ", ""), "principle 1, missing 'id'"),
        (GOOD.replace("critique_request: Say if it is long., ", ""), "principle 1, critique_request: field required"),
        (GOOD.replace("source: me}", "source: me, weight: 2}"), "principle 1, weight: extra inputs are not permitted"),
        (
            GOOD.replace("text: Be brief.", "text: [a, b]"),
            "principle 1, text: input should be a valid string",
        ),
        (GOOD.partition("  - ")[0] + "  - brief\n", "principle 1, string indices must be integers"),
        (GOOD.partition("  - ")[0].replace("principles:", "principles: []"), "has no principles; give it at least one"),
        (GOOD + GOOD.strip().rpartition("\n")[2], "has two principles 'brief'"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=message) as caught:
        load_constitution(str(path))
    assert "\n" not in str(caught.value)
    assert "wrong.yaml" in str(caught.value)


def test_a_name_that_is_not_there_gives_the_nearest_one(tmp_path):
    with pytest.raises(UsageError, match="constitution 'generel' not found; did you mean 'general'"):
        load_constitution("generel")
    with pytest.raises(UsageError, match=r"cannot read constitution '.*none\.yaml'"):
        load_constitution(str(tmp_path / "none.yaml"))
