"""Decoders of the audit trail, of backups, and of the tokens that open chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import msgspec

from pydfsnode import errors
from pydfsnode._fast import crc32c
from pydfsnode.security import capability
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import fault_of, make_checkpoint
from pydfsnode.security.audit.record import Format, HdfsLines, JsonLines, What, Who
from pydfsnode.security.audit.trail import Position
from pydfsnode.security.audit.trail_files import file_name, find_tail, genesis
from pydfsnode.security.audit.verify import verify_trails
from pydfsnode.storage import backup_format
from pydfsnode.storage.backup_format import BackupEncoder, BackupHead, BackupReader
from tests.fuzz.certificates import node_tls
from tests.fuzz.decoder import Decoder, of_text, scratch

TRAIL = "0123456789abcdef"
AT_MS = 1_700_000_000_000
FORMATS: tuple[Format, ...] = (JsonLines(), HdfsLines())


def _lines(form: Format, texts: tuple[str, ...]) -> bytes:
    """Records of *texts*: who asked, under which id, and what for."""
    user, request_id, src, dst, detail = (*texts, *[""] * 5)[:5]
    who = Who(user, "user", "10.0.0.1:4711", "framed", request_id, "ab" * 16)
    what = What("rename", src, dst, True, "ok", detail)
    bodies = form.bodies(AT_MS, "m1", "namespace", who, [what])
    return form.chain(bodies * 3, 1, genesis("m1", TRAIL))[0]


_TEXTS = ("alice", "r-1", "/a/b", "/c d\té", "because")


def _written(form: Format, text: str) -> object:
    """Whatever peers call things, each record is a line of its own, and says what they said."""
    texts = tuple(text.split("|"))
    lines = _lines(form, texts).split(b"\n")
    assert len(lines) == 4, f"{len(lines) - 1} lines for 3 records"
    records = [form.parse(line) for line in lines[:3]]
    assert [record.seq for record in records] == [1, 2, 3], "the numbers are not those written"
    assert {record.cmd for record in records} == {"rename"}, "a name was taken for a field"
    assert {record.outcome for record in records} == {"ok"}, "a name was taken for a field"
    return records


def _in_trail(form: Format, look: Callable[[Path], object]) -> Callable[[bytes], object]:
    """*look* at a directory whose only file holds what is given."""

    def decode(given: bytes) -> object:
        directory = scratch() / f"trail-{form.suffix}"
        directory.mkdir(exist_ok=True)
        (directory / file_name("m1", TRAIL, 1, form)).write_bytes(given)
        return str(look(directory))

    return decode


_TRAILS = [
    decoder
    for form in FORMATS
    for decoder in (
        Decoder(
            f"audit lines ({form.suffix})",
            form.parse, _lines(form, _TEXTS).split(b"\n")[0], (ValueError,),
        ),
        Decoder(
            f"names in audit lines ({form.suffix})",
            of_text(partial(_written, form)), "|".join(_TEXTS).encode(),
        ),
        Decoder(
            f"audit trails ({form.suffix})",
            _in_trail(form, lambda directory: verify_trails([directory])), _lines(form, _TEXTS),
        ),
        Decoder(
            f"ends of audit trails ({form.suffix})",
            _in_trail(form, lambda directory: find_tail(directory, "m1")), _lines(form, _TEXTS),
            (errors.CorruptionError,),
        ),
    )
]  # fmt: skip


def _checkpoint() -> bytes:
    files = node_tls().files
    key, chain = Path(files.key).read_bytes(), Path(files.cert).read_bytes()
    position = Position(TRAIL, 5, "ab" * 32)
    return msgspec.json.encode([make_checkpoint(node_tls().identity, position, AT_MS, key, chain)])


def _judged(given: bytes) -> object:
    found = msgspec.json.decode(given, type=list[Checkpoint])
    return [fault_of(each, node_tls().authorities) for each in found]


_CHECKPOINTS = Decoder(
    "checkpoints of audit trails", _judged, _checkpoint(), (msgspec.DecodeError, UnicodeDecodeError)
)


# ---------------------------------------------------------------- backups


class _Open:
    """A `RecordCipher` that leaves everything readable."""

    def seal(self, kind: int, number: int, plaintext: bytes) -> bytes:
        return plaintext

    def unseal(self, kind: int, number: int, sealed: bytes) -> bytes:
        return sealed


def _backup() -> bytes:
    head = BackupHead(backup_format.FORMAT, "0123456789abcdef", "m1", 9, 3, AT_MS, "kek", "", "00")
    encoder = BackupEncoder(backup_format.encode_head(head), _Open())
    made = encoder.begin() + encoder.frame(b"rows" * 9, 7, 5, last=False)
    return made + encoder.frame(b"", 0, 5, last=True) + encoder.end()


def _read_backup(given: bytes) -> object:
    reader = BackupReader(BytesIO(given), "backup")
    return reader.head(), list(reader.frames(_Open()))


def _backup_mended(given: bytes) -> bytes:
    """With the checksum of the head and the digest of everything right."""
    magic = len(backup_format.MAGIC)
    size = int.from_bytes(given[magic : magic + 4], "little")
    head = given[magic + 8 : magic + 8 + size]
    given = given[: magic + 4] + crc32c(head).to_bytes(4, "little") + given[magic + 8 :]
    body = given[: -hashlib.sha256().digest_size]
    return body + hashlib.sha256(body).digest()


# ---------------------------------------------------------------- tokens

_DAY = AT_MS // capability.DAY_MS
_CHUNK_KEY = b"k" * 32


def _token() -> bytes:
    said = capability.Capability(5, 1, int(capability.WRITING), "alice", AT_MS + 1)
    return capability.sign(said, capability.day_mac(_CHUNK_KEY, _DAY), 1, _DAY)


def _verified(given: bytes) -> object:
    key_of = {1: _CHUNK_KEY}.get
    found = capability.verify(given, key_of, AT_MS)
    capability.require(found, 5, 1, capability.Operation.WRITE, AT_MS)
    assert given == _token(), "a token was taken that no master made"
    return found


TRAILS = [
    *_TRAILS,
    _CHECKPOINTS,
    Decoder(
        "backups", _read_backup, _backup(),
        (errors.CorruptionError, errors.StorageError, errors.SealBroken), _backup_mended,
    ),
    Decoder(
        "capabilities", _verified, _token(), (errors.CapabilityRefused, errors.KeyUnavailable)
    ),
]  # fmt: skip
