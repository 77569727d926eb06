"""The folder that an export writes: what loads it, what it replaces, and what it refuses."""

import shutil

import pytest
from datasets import Features, load_dataset
from pyarrow import parquet

from schemas.row import arrow_schema
from synth import export as module
from synth.errors import UsageError
from synth.export import FORMATS, export
from synth.export.formats import row_model
from synth.store import Store
from tests.synth.export.conftest import tell, write_store


@pytest.fixture(scope="module")
def dataset(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "dataset"
    return folder, export(store, FORMATS, folder)


def tree(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_loads_with_the_types_of_the_row_model(dataset, tmp_path, format):
    folder, exported = dataset
    [one] = [one for one in exported if one.format == format]
    loaded = load_dataset(str(folder), format, split="train", cache_dir=str(tmp_path))
    schema = arrow_schema(row_model(format))
    assert loaded.features == Features.from_arrow_schema(schema)
    assert loaded.num_rows == one.rows > 0
    for row in loaded:
        row_model(format).model_validate(row)
    files = sorted(one.path.iterdir())
    assert [path.name for path in files] == ["train-00000-of-00001.parquet"]
    written = parquet.read_schema(files[0])
    assert (written.names, written.types) == (schema.names, schema.types)


def test_the_first_format_is_what_loads_without_a_name(dataset, tmp_path):
    loaded = load_dataset(str(dataset[0]), split="train", cache_dir=str(tmp_path))
    assert "completion" in loaded.column_names


def test_two_exports_of_one_store_are_equal_byte_for_byte(store, dataset, tmp_path):
    export(store, FORMATS, tmp_path / "again")
    assert tree(tmp_path / "again") == tree(dataset[0])


def test_many_rows_become_several_files_in_order(tmp_path, monkeypatch):
    store = write_store(tmp_path / "store", [row for number in range(300) for row in tell(number)])
    [whole] = export(store, ["unpaired"], tmp_path / "whole")
    monkeypatch.setattr(module, "FILE_BYTES", 1)
    monkeypatch.setattr(module, "ROW_GROUP_ROWS", 1)  # at least 2,048 in effect
    [sharded] = export(store, ["unpaired"], tmp_path / "sharded")
    files = [path.name for path in sorted(sharded.path.iterdir())]
    assert files == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    loaded = load_dataset(str(tmp_path / "sharded"), "unpaired", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.to_list() == parquet.read_table(whole.path).to_pylist()


def test_a_condition_narrows_the_rows(store, tmp_path):
    condition = "source = 'comparison' AND prompt_id IN (SELECT id FROM prompts) -- a comment"
    [one] = export(store, ["preference"], tmp_path / "some", where=condition)
    assert set(parquet.read_table(one.path)["source"].to_pylist()) == {"comparison"}


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("p_chosn > 0.5", "p_chosn"),
        ("p_chosen >", "syntax error"),
        ("", "TUPLE"),
        ("true); SELECT (1", "not several"),
        ("source::INT > 1", "Could not convert"),
        ("no_such_function(source)", "no_such_function"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused_with_the_columns(store, tmp_path, where, reason):
    with pytest.raises(UsageError, match=r"columns of preference: prompt, recipe, .*rejected_id$") as caught:
        export(store, ["preference"], tmp_path / "out", where=where)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused_with_the_nearest(store, tmp_path):
    with pytest.raises(UsageError, match="format 'preferences' not found; did you mean 'preference'"):
        export(store, ["sft", "preferences"], tmp_path / "out")
    with pytest.raises(UsageError, match="expected some of: sft, preference"):
        export(store, [], tmp_path / "out")


def test_exporting_again_replaces_what_an_export_wrote_and_nothing_else(store, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    export(store, FORMATS, folder)
    export(store, ["sft"], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "sft"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'notes.txt', which no export has written; name a new or empty folder"):
        export(store, ["sft"], folder)
    (folder / "notes.txt").unlink()
    (folder / "README.md").write_text("# A dataset of somebody else")
    before = tree(folder)
    with pytest.raises(UsageError, match="which no export has written"):
        export(store, ["sft"], folder)
    assert tree(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_and_the_folder_one_works_in_are_refused(store, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; name a folder"):
        export(store, ["sft"], tmp_path / "file")
    with pytest.raises(UsageError, match="cannot write the export"):
        export(store, ["sft"], tmp_path / "file" / "under")
    export(store, ["sft"], tmp_path / "out")
    for here, to in (("out", "."), ("out/sft", "..")):
        monkeypatch.chdir(tmp_path / here)
        with pytest.raises(UsageError, match="while working in it"):
            export(store, ["sft"], to)


def test_an_export_that_fails_leaves_the_one_before(store, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    export(store, FORMATS, folder)
    before = tree(folder)

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.card, "render", fail)
    with pytest.raises(UsageError, match=r"cannot write the export .*No space left"):
        export(store, ["sft"], folder)
    assert tree(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_format_without_rows_is_said_and_left_out(store, tmp_path):
    folder = tmp_path / "out"
    exported = export(store, ["sft", "preference"], folder, where="prompt_id = 'none'")
    assert [(one.format, one.rows) for one in exported] == [("sft", 0), ("preference", 0)]
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    assert "none that meet the condition" in (folder / "README.md").read_text()


def test_an_empty_store_exports_a_card_alone(tmp_path):
    exported = export(Store(tmp_path / "store", create=True), FORMATS, tmp_path / "out")
    assert [one.rows for one in exported] == [0] * len(FORMATS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["README.md"]
    shutil.rmtree(tmp_path / "out")
