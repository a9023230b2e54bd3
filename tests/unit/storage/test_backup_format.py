"""The bytes of a backup: what is cut, changed, moved or another's is refused, wherever it is."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from pydfsnode.errors import CorruptionError, PydfsError, SealBroken, StorageError
from pydfsnode.security.backup_key import BackupCipher, BackupKek
from pydfsnode.security.key_sources import Kek
from pydfsnode.storage import backup_format
from pydfsnode.storage.backup_format import (
    END,
    ROWS,
    BackupEncoder,
    BackupHead,
    BackupReader,
    SealedFrame,
    encode_head,
)

FORMAT = Path(backup_format.__file__).with_name("FORMAT-backup.md")
KEY = bytes(range(32))
HEAD = BackupHead(1, "c1", "m2", 1200, 7, 1_700_000_000_000, "0123456789abcdef", "", "ab" * 60)
FRAMES = [
    SealedFrame(b"first rows", 0x01020304, 10, False),
    SealedFrame(b"more rows", 0x05060708, 25, False),
    SealedFrame(b"", 0, 25, True),
]


def written(head: BackupHead = HEAD, key: bytes = KEY) -> bytes:
    encoded = encode_head(head)
    encoder = BackupEncoder(encoded, BackupCipher(key, hashlib.sha256(encoded).digest()))
    pieces = [encoder.begin()]
    pieces += [
        encoder.frame(frame.rows, frame.crc32c, frame.row_count, last=frame.last)
        for frame in FRAMES
    ]
    return b"".join([*pieces, encoder.end()])


def read(content: bytes, key: bytes = KEY) -> tuple[BackupHead, list[SealedFrame]]:
    reader = BackupReader(io.BytesIO(content), "x.bak")
    head = reader.head()
    return head, list(reader.frames(BackupCipher(key, reader.head_digest)))


def read_without_key(content: bytes) -> list[int]:
    reader = BackupReader(io.BytesIO(content), "x.bak")
    reader.head()
    return [kind for kind, _ in reader.records()]


def test_what_was_written_is_read() -> None:
    assert read(written()) == (HEAD, FRAMES)
    assert read_without_key(written()) == [ROWS, ROWS, ROWS, END]


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    whole = written()
    for size in range(len(whole)):
        with pytest.raises(CorruptionError, match=r"x\.bak: "):
            read(whole[:size])
        with pytest.raises(CorruptionError):
            read_without_key(whole[:size])


def test_a_file_with_more_behind_it_is_refused() -> None:
    with pytest.raises(CorruptionError, match="follows the end"):
        read(written() + b"\0")


def test_a_changed_byte_is_found_anywhere_with_the_key_and_without() -> None:
    whole = written()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        for attempt in (read, read_without_key):
            with pytest.raises(PydfsError):
                attempt(bytes(changed))


def resealed(pieces: list[bytes]) -> bytes:
    """*pieces* with a digest that fits: what somebody can make who has no key."""
    content = b"".join(pieces) + b"pydfsBKE"
    return content + hashlib.sha256(content).digest()


def split() -> tuple[bytes, list[bytes], bytes]:
    """Head, records of rows, the last record."""
    encoded = encode_head(HEAD)
    rest, records = written()[len(encoded) : -40], []
    while rest:
        size = 5 + int.from_bytes(rest[1:5], "little")
        records.append(rest[:size])
        rest = rest[size:]
    return encoded, records[:-1], records[-1]


def test_records_that_are_left_out_or_moved_are_found_though_the_digest_fits() -> None:
    head, rows, end = split()
    assert read(resealed([head, *rows, end])) == (HEAD, FRAMES)
    for forged in ([rows[0], rows[2]], [rows[1], rows[0], rows[2]], rows[:2], [rows[0]] * 3, []):
        content = resealed([head, *forged, end])
        assert read_without_key(content)
        with pytest.raises(SealBroken, match="changed or moved"):
            read(content)


def test_records_under_another_head_do_not_open() -> None:
    _, rows, end = split()
    other = encode_head(BackupHead(1, "c1", "m2", 1199, 7, HEAD.time_ms, HEAD.kek_id, ""))
    with pytest.raises(SealBroken):
        read(resealed([other, *rows, end]))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        read(written(), key=bytes(32))


def test_a_newer_format_and_other_files_are_refused() -> None:
    newer = BackupHead(2, "c1", "m2", 1, 1, 0, "", "")
    with pytest.raises(StorageError, match="format 2"):
        read(written(newer))
    with pytest.raises(CorruptionError, match="is no backup"):
        read(b"PK\x03\x04" + bytes(100))


def test_a_backup_has_a_key_of_its_own_that_its_head_is_bound_to() -> None:
    kek = BackupKek(Kek(KEY))
    key, wrapped = kek.new_key(HEAD.wrap_aad())
    assert kek.unwrap(wrapped, HEAD.wrap_aad()) == key
    assert kek.new_key(HEAD.wrap_aad())[0] != key
    assert HEAD.with_key(wrapped).wrap_aad() == HEAD.wrap_aad()
    other = BackupHead(1, "c2", "m2", 1200, 7, HEAD.time_ms, HEAD.kek_id, "")
    for aad in (other.wrap_aad(), b""):
        with pytest.raises(SealBroken):
            kek.unwrap(wrapped, aad)
    with pytest.raises(SealBroken):
        BackupKek(Kek(bytes(32))).unwrap(wrapped, HEAD.wrap_aad())


def test_the_bytes_are_those_of_the_format() -> None:
    """The test vector of FORMAT-backup.md."""
    head = BackupHead(1, "c1", "m1", 2, 1, 3, "k", "", "00")
    encoded = encode_head(head)
    encoder = BackupEncoder(encoded, BackupCipher(KEY, hashlib.sha256(encoded).digest()))
    content = encoder.begin() + encoder.frame(b"rows", 9, 1, last=True) + encoder.end()
    assert f"`{content.hex()}`" in FORMAT.read_text()
