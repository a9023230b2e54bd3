"""What is fuzzed: a decoder, a sample that it takes, and the errors that it may refuse with."""

from __future__ import annotations

import atexit
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydfsnode._fast import crc32c

Decode = Callable[[bytes], object]
Mend = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Decoder:
    """`decode` returns for *sample*, and for anything else returns or raises one of `refusals`.

    `mend` puts right what guards the bytes (a checksum, a seal), so that what was spoiled is
    looked at and not refused at the door.
    """

    name: str
    decode: Decode
    sample: bytes
    refusals: tuple[type[Exception], ...] = ()
    mend: Mend | None = None
    seeds: tuple[bytes, ...] = ()
    """Further samples, of other kinds."""

    @property
    def directory(self) -> str:
        """What the directory of its inputs in `crashes` is called."""
        return self.name.replace(" ", "_")

    def run(self, given: bytes) -> None:
        """Decode *given*; raises what the decoder must never raise."""
        try:
            self.decode(given)
        except self.refusals:
            return


def of_text(parse: Callable[[str], object]) -> Decode:
    """A decoder of text."""
    return lambda given: parse(given.decode("utf-8", "replace"))


def of_file(name: str, load: Callable[[Path], object]) -> Decode:
    """A decoder of the file *name*; it is told where it lies, mode 0600."""

    def decode(given: bytes) -> object:
        path = scratch() / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(given)
        path.chmod(0o600)
        return load(path)

    return decode


@cache
def scratch() -> Path:
    """A directory in memory for this process's files."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    made = Path(tempfile.mkdtemp(prefix="pydfs-fuzz-", dir=memory if usable else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def entries_mended(given: bytes) -> bytes:
    """With the CRC32C of each log entry right, as far as their sizes lead."""
    whole, position = bytearray(given), 0
    while position + 28 <= len(whole):
        end = position + 28 + int.from_bytes(whole[position + 4 : position + 8], "little")
        crc = crc32c(bytes(whole[position + 4 : end]))
        whole[position : position + 4] = struct.pack("<I", crc)
        position = end
    return bytes(whole)


def crc_behind(given: bytes) -> bytes:
    """With the CRC32C u32 LE of the rest as the last four bytes."""
    return given[:-4] + struct.pack("<I", crc32c(given[:-4]))
