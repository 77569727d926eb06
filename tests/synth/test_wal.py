"""The write-ahead file: what was appended comes back, up to the first torn frame."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Item
from synth.wal import WriteAheadFile, encode_frame, is_orphan, read_frames


def mark(number: int) -> Item:
    return Item(item_id=f"pr_{number}", recipe="ilf", work_id="wk_1", run_id="ru_1", status="done")


def test_frames_come_back_in_order_and_a_frame_is_whole(tmp_path):
    file = WriteAheadFile(tmp_path / "a.wal")
    file.append([mark(1)])
    file.append([mark(2), mark(3)])
    file.flush()
    assert [[row["item_id"] for _, row in frame] for frame in read_frames(file.path)] == [["pr_1"], ["pr_2", "pr_3"]]
    file.close()


@given(cut=st.integers(min_value=0), flip=st.integers(min_value=0))
def test_any_cut_or_flipped_byte_costs_only_the_frames_from_there_on(tmp_path_factory, cut, flip):
    frames = [encode_frame([mark(number)]) for number in range(4)]
    whole = b"".join(frames)
    path = tmp_path_factory.mktemp("wal") / "a.wal"

    path.write_bytes(whole[: cut % (len(whole) + 1)])
    intact = (cut % (len(whole) + 1)) // len(frames[0])
    assert len(list(read_frames(path))) == intact

    damaged = bytearray(whole)
    damaged[flip % len(whole)] ^= 0xFF
    path.write_bytes(damaged)
    found = list(read_frames(path))
    assert [frame[0][1]["item_id"] for frame in found] == [
        f"pr_{number}" for number in range(flip % len(whole) // len(frames[0]))
    ]


def test_a_file_is_an_orphan_once_its_writer_is_gone(tmp_path):
    file = WriteAheadFile(tmp_path / "a.wal")
    assert not is_orphan(file.path)
    file.close()
    assert is_orphan(file.path)


def test_a_failed_write_is_raised_to_the_writer(tmp_path, monkeypatch):
    file = WriteAheadFile(tmp_path / "a.wal")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    file.append([mark(1)])
    with pytest.raises(OSError, match="No space"):
        file.flush()
    with pytest.raises(OSError, match="No space"):
        file.append([mark(2)])
    with pytest.raises(OSError, match="No space"):
        file.close()
