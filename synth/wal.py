"""The write-ahead file: frames of rows, appended, group-committed, read back up to the first torn one.

A frame is the unit that is committed or not: the rows of one call, or all records of one finished item with its
mark. On disk it is length and CRC-32 (little-endian, 4 bytes each) and a MessagePack list of [table, row] pairs.
A frame cut or damaged by a crash ends the file for readers. The writer holds a lock on its file; a file
without one belongs to a process that is gone.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas import Row

COMMIT_EVERY_S = 0.2
_header = struct.Struct("<II")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()

Frame = list[tuple[str, dict[str, Any]]]


def encode_frame(rows: Sequence[Row]) -> bytes:
    """The frame's bytes, header included."""
    payload = _encoder.encode([(row.table, row.__dict__) for row in rows])
    return _header.pack(len(payload), zlib.crc32(payload)) + payload


def read_frames(path: Path) -> Iterator[Frame]:
    """All whole frames of a file, in order; a torn tail is left out."""
    with path.open("rb") as file:
        while len(header := file.read(_header.size)) == _header.size:
            length, checksum = _header.unpack(header)
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            yield _decoder.decode(payload)


def is_orphan(path: Path) -> bool:
    """Whether no live process writes this file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class WriteAheadFile:
    """One open file. `append` returns at once; a thread commits what has come, at most `COMMIT_EVERY_S` later.

    A write that fails (disk full, mount gone) is kept and raised by the next `append` and by `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("xb", buffering=0)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._pending: deque[bytes] = deque()
        self._appended = 0
        self._committed = 0
        self._settled = threading.Condition()
        self._wake = threading.Event()  # there is something to commit
        self._hurry = threading.Event()  # somebody waits for it
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._commit_forever, name="burnish-wal", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[Row]) -> None:
        """Hand over one frame."""
        if self._failure:
            raise self._failure
        frame = encode_frame(rows)
        self.size += len(frame)
        self._pending.append(frame)
        self._appended += 1
        self._wake.set()

    def flush(self) -> None:
        """Return once everything appended so far can be read by others."""
        wanted = self._appended
        self._hurry.set()
        with self._settled:
            self._settled.wait_for(lambda: self._failure or self._committed >= wanted)
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """Commit what has come and let go of the file; it stays on disk until it is sealed."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        self._file.close()
        if self._failure:
            raise self._failure

    def _commit_forever(self) -> None:
        while not self._failure and not (self._closing.is_set() and not self._pending):
            self._wake.wait()
            self._wake.clear()
            self._commit()
            self._hurry.wait(COMMIT_EVERY_S)
            if not self._closing.is_set():
                self._hurry.clear()

    def _commit(self) -> None:
        frames = [self._pending.popleft() for _ in range(len(self._pending))]
        failure = None
        try:
            data = memoryview(b"".join(frames))
            while data:
                data = data[os.write(self._file.fileno(), data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            failure = error
        with self._settled:
            self._failure = failure
            self._committed += len(frames)
            self._settled.notify_all()
