"""The vectors of FORMAT-chunks.md are golden files: those of every format are read, and written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import pydfsnode.storage
from pydfsnode.errors import InvalidArgument, KeyUnavailable
from pydfsnode.security.chunk_cipher import SealHead, chunk_key, key_id
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from tests.support.packed_chunks import read_chunk

KEY = bytes(range(32))
SALT = bytes(range(16))
SEGMENT_SALT = 0x1122334455667788
CHUNK_ID, VERSION, CONTENT = 0x102, 3, b"abc"
FILE_KEY = bytes(range(32, 64))
PLAIN_FILE, PLAIN_SEGMENT, SEALED_FILE, SEALED_SEGMENT = (
    "## Test vector\n", "## Test vector of a segment\n", "sealed`, 127 bytes:", "264 bytes:",
)  # fmt: skip
KEYED_FILE, KEYED_SEGMENT = "file of format 4, 127 bytes:", "record of kind 4, 264 bytes:"
PLACES = {
    PLAIN_FILE: "chunks/02/0000000000000102.3",
    PLAIN_SEGMENT: "segments/0000000000000005.seg",
    SEALED_FILE: "chunks/02/0000000000000102.3.sealed",
    SEALED_SEGMENT: "segments/0000000000000006.seg",
    KEYED_FILE: "chunks/02/0000000000000102.3.sealed",
    KEYED_SEGMENT: "segments/0000000000000006.seg",
}
"""Where each vector begins in the text, and where it lies on a disk."""


def golden(start: str) -> bytes:
    """The bytes of the vector behind *start*."""
    text = (Path(pydfsnode.storage.__file__).parent / "FORMAT-chunks.md").read_text()
    found = re.search(r"```\n([0-9a-f\n]+)```", text[text.index(start) :])
    assert found is not None
    return bytes.fromhex(found[1].replace("\n", ""))


def opened(directory: Path, keys: ChunkKeys, pack_bytes_max: int = 0) -> ChunkReplicas:
    """A disk of a process that begins."""
    held = ChunkReplicas(
        [ChunkDisk(directory)], lambda: None, pack_bytes_max=pack_bytes_max, keys=keys
    )
    held.open()
    return held


def keys_of_one() -> ChunkKeys:
    """Those of the vectors."""
    keys = ChunkKeys(lambda: SALT)
    keys.learn({1: KEY})
    keys.files.put({CHUNK_ID: FILE_KEY})
    return keys


@pytest.mark.parametrize("start", PLACES)
def test_golden_files_of_every_format_are_read(tmp_path: Path, start: str) -> None:
    place = tmp_path / PLACES[start]
    place.parent.mkdir(parents=True)
    place.write_bytes(golden(start))
    held = opened(tmp_path, keys_of_one())
    assert held.index.get(CHUNK_ID) == (CHUNK_ID, VERSION, len(CONTENT))
    assert read_chunk(held, CHUNK_ID, VERSION) == CONTENT
    assert place.read_bytes() == golden(start)


@pytest.mark.parametrize(
    ("start", "pack", "keyed"),
    [
        (SEALED_FILE, 0, False),
        (SEALED_SEGMENT, 1000, False),
        (KEYED_FILE, 0, True),
        (KEYED_SEGMENT, 1000, True),
    ],
)
def test_what_is_written_sealed_is_the_golden_file(
    tmp_path: Path, start: str, pack: int, keyed: bool
) -> None:
    held = opened(tmp_path, keys_of_one(), pack)
    (disk,) = held.disks.live
    disk.segments._new_salt = lambda: SEGMENT_SALT
    disk.segments._next_number = 6
    writer = held.create(CHUNK_ID, VERSION, len(CONTENT), True, keyed)
    held.append(writer, [CONTENT])
    held.finish(writer)
    held.close()
    assert (tmp_path / PLACES[start]).read_bytes() == golden(start)


def test_the_key_of_a_chunk_is_derived_as_rfc_5869_says() -> None:
    info = b"pydfsnode chunk 1\0" + CHUNK_ID.to_bytes(8, "little")
    derived = HKDF(SHA256(), 32, SALT, info).derive(KEY)
    assert chunk_key(KEY, SALT, CHUNK_ID) == derived
    assert derived.hex().startswith("f02c632415b382e7")
    info = b"pydfsnode chunk 2\0" + CHUNK_ID.to_bytes(8, "little")
    derived = HKDF(SHA256(), 32, SALT, info).derive(KEY + FILE_KEY)
    assert chunk_key(KEY, SALT, CHUNK_ID, FILE_KEY) == derived
    assert derived.hex().startswith("d5435a91a7a123ae")


def test_keys_are_replaced_as_a_whole_and_old_news_is_ignored() -> None:
    keys = keys_of_one()
    keys.learn({1: KEY, 2: bytes(32)})
    assert (keys.epoch, keys.epochs) == (2, [1, 2])
    keys.learn({1: KEY})
    assert keys.epochs == [1, 2]
    keys.learn({2: bytes(32), 3: KEY})
    assert (keys.epoch, keys.epochs) == (3, [2, 3])
    with pytest.raises(KeyUnavailable, match="epoch 1"):
        keys.for_sealed(7, SealHead(1, key_id(KEY), SALT))
    for wrong in ({1: b"short"}, {0: KEY}):
        with pytest.raises(InvalidArgument):
            keys.learn(wrong)
    assert "0, 1, 2" not in repr(keys)
