"""Tables: one spelling in Python, Arrow and SQL, and ids that depend on content only."""

import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas import TABLES, Chain, Prompt, Record, Reject, content_id


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_columns_are_the_fields_and_every_field_is_described(table):
    schema = table.arrow_schema()
    assert schema.names == list(table.model_fields)
    for name, info in table.model_fields.items():
        assert info.description
        assert schema.field(name).metadata[b"description"].decode() == info.description
    assert set(table.identity) <= set(table.model_fields)


def test_prefixes_tell_tables_apart():
    prefixes = [table.prefix for table in TABLES.values()]
    assert len(set(prefixes)) == len(prefixes)


def test_arrow_types_follow_annotations():
    schema = Chain.arrow_schema()
    assert schema.field("segments").type == pa.list_(
        pa.struct([("kind", pa.string()), ("text", pa.string()), ("loss", pa.bool_())])
    )
    assert not schema.field("template").nullable
    assert schema.field("model").nullable


def test_an_id_depends_on_identity_alone_and_survives_a_round_trip():
    prompt = Prompt(messages=({"role": "user", "content": "hi"},), source="a", line=1)
    assert prompt.id == Prompt(messages=({"content": "hi", "role": "user"},), source="b", line=2).id
    assert prompt.id != Prompt(messages=({"role": "user", "content": "hi"},), reference="ho").id
    rows = pa.Table.from_pylist([prompt.model_dump()], schema=Prompt.arrow_schema()).to_pylist()
    assert Prompt.model_validate(rows[0]) == prompt


def test_rows_are_frozen_and_complete():
    with pytest.raises(ValidationError, match="frozen"):
        Prompt(messages=({"role": "user", "content": "hi"},)).line = 3
    with pytest.raises(ValidationError, match="Field required"):
        Reject(reason="bad", detail="bad")
    with pytest.raises(ValidationError, match="Extra inputs"):
        Prompt(messages=(), text="hi")


def test_every_record_says_where_it_comes_from():
    for table in TABLES.values():
        if issubclass(table, Record):
            assert {"prompt_id", "item_id", "recipe", "work_id", "run_id", "model", "call_ids"} <= set(
                table.model_fields
            )


def test_content_ids_are_the_same_everywhere():
    assert content_id("x", "a", 1, ("b",)) == content_id("x", "a", 1, ["b"]) == "x_4386f2fab452c2deac80aa28"
