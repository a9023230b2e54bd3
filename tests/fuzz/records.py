"""Decoders of what lies on disks in binary: log, state table, chunks, segments, small marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

from pydfsnode import errors, limits
from pydfsnode._fast import crc32c, encode_entry, scan_entries
from pydfsnode.meta import rows
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.history_rows import TABLE_PAST_ENTRY, TABLE_PAST_INODE, TABLE_SNAPSHOT
from pydfsnode.meta.ops import AnyOp, ChunkDone, Create, CreateInline, SetAcl, Truncate
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import HardState
from pydfsnode.runtime import entry_compression
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import chunk_format, log_recovery, sealed, sealed_chunk, segment_format
from pydfsnode.storage.chunk_epoch import EPOCH_NAME, EpochFile
from pydfsnode.storage.directory import MARK_NAME
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.segment_format import Entry, SegmentName
from pydfsnode.storage.segment_scan import read_segment
from pydfsnode.storage.snapshot_stage import StageProgress
from tests.fuzz.decoder import Decoder, crc_behind, entries_mended, of_file
from tests.fuzz.network import raft_entries
from tests.fuzz.state_rows import load_with, row_of

_DAMAGED = (errors.CorruptionError,)
_HEAD = (1, 2, 2, 1_000, "alice:eng,ops")
OPERATIONS: dict[str, AnyOp] = {
    "create": Create(*_HEAD, "/a/b", 3, 1 << 20),
    "create inline": CreateInline(*_HEAD, "/a/b", 3, 1 << 20, content=bytes(range(99))),
    "set acl": SetAcl(*_HEAD, "/a", ("user:alice:rwx", "default:group:eng:r-x"), "modify"),
    "truncate": Truncate(*_HEAD, "/a", 5, ChunkDone(7, 1, 5, 9)),
}
STATE_TABLES = {
    "head": rows.TABLE_HEAD,
    "inodes": rows.TABLE_BLOCK,
    "chunk page": rows.TABLE_PAGE,
    "session": rows.TABLE_SESSION,
    "open file": rows.TABLE_OPEN,
    "extras": rows.TABLE_EXTRAS,
    "snapshot": TABLE_SNAPSHOT,
    "past entry": TABLE_PAST_ENTRY,
    "past inode": TABLE_PAST_INODE,
}


# ---------------------------------------------------------------- the log of a master


class _Open:
    """A `Sealer` that leaves everything readable, so that what is within is looked at."""

    def seal_all(
        self, aad_head: bytes, rows: Iterable[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes | None]]:
        return list(rows)

    def unseal(self, aad: bytes, sealed: bytes) -> bytes:
        return sealed


@cache
def _log_rows() -> dict[tuple[int, bytes], bytes]:
    """A log of a configuration and some entries after a compaction."""
    members = Configuration(("m1", "m2", "m3")).encode()
    kinds = {11: (2, members), 12: (1, b"op"), 13: (0, b"")}
    entries = {index: encode_entry(index, 4, *kinds[index]) for index in kinds}
    bounds = LogBounds(9, 11, 13, 3, 4, log_recovery.entry_crc(entries[13]), 12, 0, 77)
    progress = StageProgress(40, 4, 5, 6, (16, b"key"))
    made = {
        (sealed.TABLE_LOG_BOUNDS, b""): bounds.encode(),
        (sealed.TABLE_HARD_STATE, b""): log_recovery.encode_hard_state(HardState(4, "m1#00000001")),
        (sealed.TABLE_MEMBERSHIP, b""): members,
        (sealed.TABLE_NODE, b""): log_recovery.encode_incarnation(77),
        (sealed.TABLE_STAGE, b""): progress.encode(),
    }
    made.update({(sealed.TABLE_ENTRY, sealed.numbered_key(i)): e for i, e in entries.items()})
    return made


def _recover_with(place: tuple[int, bytes], spoiled: bytes) -> object:
    """What a start makes of the log whose row at *place* is *spoiled*."""
    table, key = place
    stored = {bytes([t]) + k: value for (t, k), value in _log_rows().items()}
    stored[bytes([table]) + key] = spoiled
    store = sealed.SealedStore(MemoryKv(stored), _Open(), "testcluster", "m1")
    found = log_recovery.recover(store, 9)
    if found.membership is not None:
        Configuration.decode(found.membership)
    return [Configuration.decode(one) for _, one in found.walked.configurations], found


_COMPRESSED = encode_entry(7, 2, *entry_compression.pack(encode_op(OPERATIONS["create"]) * 99))

_LOG = [
    Decoder("log entries", scan_entries, raft_entries(), (ValueError,), entries_mended),
    Decoder(
        "compressed log entries",
        lambda given: entry_compression.unpack(given) or "none",
        _COMPRESSED,
        (*_DAMAGED, ValueError),
        entries_mended,
    ),
    *(
        Decoder(f"operation {name}", decode_op, encode_op(op), _DAMAGED)
        for name, op in OPERATIONS.items()
    ),
    *(
        Decoder(
            f"log row {sealed.describe_key(bytes([place[0]]) + place[1])}",
            partial(_recover_with, place), value, _DAMAGED,
            entries_mended if place[0] == sealed.TABLE_ENTRY else None,
        )
        for place, value in _log_rows().items()
    ),
    *(
        Decoder(f"state row {name}", partial(load_with, table), row_of(table), _DAMAGED)
        for name, table in STATE_TABLES.items()
    ),
    Decoder(
        "durable marks",
        of_file(MARK_NAME, lambda path: _loaded(DurableMark(path))),
        crc_behind(b"pydfsMK1" + bytes(12)),
        _DAMAGED,
        crc_behind,
    ),
]  # fmt: skip


def _loaded(mark: DurableMark) -> str:
    try:
        return str(mark.load())
    finally:
        mark.close()


# ---------------------------------------------------------------- chunks

CHUNK_BYTES = 2 * limits.BLOCK_BYTES + 5
_KEYS = ChunkKeys(lambda: bytes(16))
_KEYS.learn({1: b"k" * 32})
_KEYS.files.put({7: b"f" * 32})


def _tail() -> chunk_format.Tail:
    checksums = b"\x01\x02\x03\x04" * 3
    return chunk_format.Tail(chunk_format.fold_checksums(checksums, CHUNK_BYTES), checksums)


def _sealing(is_keyed: bool = False) -> sealed_chunk.Sealing:
    cipher = _KEYS.for_new(7, is_keyed)
    _, seals = sealed_chunk.seal_blocks(cipher, bytes(CHUNK_BYTES))
    return sealed_chunk.Sealing(cipher, seals)


def _footer_mended(given: bytes) -> bytes:
    """With the checksum in a chunk's footer right, which begins with that of what is before it."""
    size = chunk_format.FOOTER_BYTES
    if len(given) < size:
        return given
    footer = given[-size:]
    crc = crc32c(footer[:-4], crc32c(given[:-size]))
    return given[:-4] + crc.to_bytes(4, "little")


_SALT = 0x0123456789ABCDEF
_SEGMENT = SegmentName(3, _SALT)


def _segment(*, indexed: bool) -> bytes:
    content = bytearray(segment_format.encode_header(_SEGMENT))
    entries = []
    for number, size in enumerate((100, 5000, 0), 1):
        kind = segment_format.CHUNK if size else segment_format.TOMBSTONE
        entry = Entry(number, 1, 0, len(content), size, kind)
        data = bytes([number]) * size
        crc = crc32c(data)
        tail = chunk_format.Tail(crc, crc.to_bytes(4, "little") if size else b"")
        content += segment_format.encode_head(_SALT, entry, tail) + data
        content += bytes(segment_format.aligned(len(content)) - len(content))
        entries.append(entry)
    if indexed:
        content += segment_format.encode_index(_SEGMENT, entries, len(content))
    return bytes(content)


def _index_mended(given: bytes) -> bytes:
    """With the checksums of a segment's index right, so that its entries are believed."""
    size = segment_format.FOOTER_BYTES
    if len(given) < size:
        return given
    footer = given[-size:]
    offset = int.from_bytes(footer[32:40], "little")
    index = given[offset:-size] if offset < len(given) else b""
    footer = footer[:40] + crc32c(index).to_bytes(4, "little") + footer[44:]
    return given[:-size] + crc_behind(footer)


def _head_mended(given: bytes) -> bytes:
    """With the checksum of a record's head right, as far as its length is."""
    size = segment_format.RECORD_HEADER_BYTES
    length = int.from_bytes(given[44:48], "little")
    if len(given) < size or length > 1 << 30:
        return given
    checksums = given[size : segment_format.head_bytes(length)]
    crc = crc32c(given[: size - 4], crc32c(checksums))
    return given[: size - 4] + crc.to_bytes(4, "little") + given[size:]


def _record_head() -> bytes:
    tail = chunk_format.Tail(9, b"\x09\0\0\0")
    return segment_format.encode_head(_SALT, Entry(5, 1, 0, 40, 100, segment_format.CHUNK), tail)


def _or_none(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    return lambda given: str(decode(given))


def _read_segment(path: Path) -> object:
    return str(read_segment(path, _SEGMENT.number))


_CHUNKS = [
    Decoder(
        "chunk tails",
        lambda given: chunk_format.decode_tail(given, 7, 1, CHUNK_BYTES),
        chunk_format.encode_tail(7, 1, CHUNK_BYTES, _tail()),
        _DAMAGED,
        _footer_mended,
    ),
    Decoder(
        "sealed chunk tails",
        lambda given: sealed_chunk.decode_tail(given, _KEYS, 7, 1, CHUNK_BYTES),
        sealed_chunk.encode_tail(_sealing(), 7, 1, CHUNK_BYTES, _tail()),
        (*_DAMAGED, errors.KeyUnavailable),
        _footer_mended,
    ),
    Decoder(
        "keyed chunk tails",
        lambda given: sealed_chunk.decode_tail(given, _KEYS, 7, 1, CHUNK_BYTES),
        sealed_chunk.encode_tail(_sealing(is_keyed=True), 7, 1, CHUNK_BYTES, _tail()),
        (*_DAMAGED, errors.KeyUnavailable),
        _footer_mended,
    ),
    Decoder(
        "segment headers",
        _or_none(lambda given: segment_format.decode_header(given, _SEGMENT.number)),
        segment_format.encode_header(_SEGMENT),
    ),
    Decoder(
        "record heads",
        _or_none(lambda given: segment_format.decode_head(given, _SALT, 40)),
        _record_head(),
        (),
        _head_mended,
    ),
    Decoder("segments", of_file("segment", _read_segment), _segment(indexed=False)),
    Decoder(
        "segments with an index",
        of_file("segment", _read_segment), _segment(indexed=True), (), _index_mended,
    ),
    Decoder(
        "epochs",
        of_file(EPOCH_NAME, lambda path: str(EpochFile(path.parent).highest)),
        crc_behind(b"PDFSEPOC" + (5).to_bytes(8, "little") + bytes(4)),
        _DAMAGED,
        crc_behind,
    ),
]  # fmt: skip

RECORDS = [*_LOG, *_CHUNKS]
