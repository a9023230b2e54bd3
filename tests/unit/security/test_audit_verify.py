"""Every way of changing a trail is found, and the first record that is not as written is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from pydfsnode.config import TlsFiles
from pydfsnode.security import pki
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import make_checkpoint
from pydfsnode.security.audit.record import What
from pydfsnode.security.audit.trail import Position
from pydfsnode.security.audit.verify import TrailReport, verify_trails
from pydfsnode.security.tls import TlsStore
from tests.unit.security.audit_rig import TrailRig, record


@pytest.fixture(params=["json", "hdfs"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> TrailRig:
    rig = TrailRig(tmp_path / "audit")
    rig.write(8, request.param)
    assert rig.report().bad == ""
    return rig


def change(rig: TrailRig, lines: list[bytes]) -> TrailReport:
    rig.files[0].write_bytes(b"".join(lines))
    return rig.report()


@pytest.mark.parametrize("position", range(9))
def test_one_flipped_bit_names_its_record(rig: TrailRig, position: int) -> None:
    lines = rig.lines()
    changed = bytearray(lines[position])
    changed[changed.index(b"alice" if b"alice" in changed else b"m1")] ^= 1
    lines[position] = bytes(changed)
    report = change(rig, lines)
    assert report.bad_seq == position + 1
    assert report.bad_line == position + 1


def test_a_record_that_was_taken_out_is_named(rig: TrailRig) -> None:
    lines = rig.lines()
    report = change(rig, [*lines[:4], *lines[5:]])
    assert report.bad_seq == 5
    assert "missing" in report.bad


def test_records_that_changed_places_are_found(rig: TrailRig) -> None:
    lines = rig.lines()
    report = change(rig, [*lines[:3], lines[4], lines[3], *lines[5:]])
    assert report.bad_seq == 4


def test_a_record_that_was_doubled_or_put_in_is_found(rig: TrailRig) -> None:
    lines = rig.lines()
    assert change(rig, [*lines[:5], lines[4], *lines[5:]]).bad_seq == 5
    assert change(rig, [*lines[:5], b"nothing\n", *lines[5:]]).bad_seq == 6


def test_a_changed_link_names_the_record_that_holds_it(rig: TrailRig) -> None:
    lines = rig.lines()
    at = lines[5].index(b"prev") + 10
    lines[5] = (
        lines[5][:at] + (b"0" if lines[5][at : at + 1] != b"0" else b"1") + lines[5][at + 1 :]
    )
    assert change(rig, lines).bad_seq == 6


def test_a_renamed_file_is_no_other_trail(rig: TrailRig) -> None:
    file = rig.files[0]
    file.rename(file.with_name(file.name.replace("m1-", "m2-")))
    assert "not the first of this trail" in rig.report().bad


def test_a_trail_that_begins_later_says_so(tmp_path: Path) -> None:
    rig = TrailRig(tmp_path / "audit")
    trail = rig.open(bytes_max=1)
    for number in range(4):
        record(trail, f"/{number}")
        rig.flush()
    trail.stop()
    rig.files[0].unlink()
    report = rig.report()
    assert report.bad == ""
    assert report.notes == [f"the trail begins at {report.first_seq} here"]
    rig.files[1].unlink()
    assert "missing" in rig.report().bad


class Signed:
    """A trail whose node signs."""

    def __init__(self, tmp_path: Path) -> None:
        pki.init_ca(tmp_path / "ca", "c")
        files = pki.issue(tmp_path / "ca", tmp_path / "m1", "master", "m1")
        self.tls = TlsStore.load(TlsFiles(str(files.ca), str(files.cert), str(files.key)))
        self.roots = list(self.tls.authorities)
        self.rig = TrailRig(tmp_path / "audit")
        self.kept: list[Checkpoint] = []

    def write(self, tells: bool = False) -> None:
        trail = self.rig.open()
        for number in range(3):
            record(trail, f"/{number}")
        self.kept.append(self.sign(trail.position))
        if tells:
            trail.tell(What("checkpoint", detail=msgspec.json.encode(self.kept[-1]).decode()))
        record(trail, "/after")
        trail.stop()

    def sign(self, position: Position) -> Checkpoint:
        tls = self.tls
        at_ms = int(tls.leaf.not_valid_before_utc.timestamp() * 1000) + 1
        return make_checkpoint(tls.identity, position, at_ms, tls.key_pem, tls.cert_pem)

    def report(self, roots: list[x509.Certificate] | None = None) -> TrailReport:
        found, *more = verify_trails([self.rig.directory], self.kept, roots or self.roots)
        assert not more
        return found


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def test_a_checkpoint_proves_what_lies_before_it(signed: Signed) -> None:
    signed.write()
    report = signed.report()
    assert (report.bad, report.notes, report.proven_seq, report.last_seq) == ("", [], 4, 6)


def test_what_was_cut_off_at_the_end_is_found(signed: Signed) -> None:
    signed.write()
    lines = signed.rig.lines()
    signed.rig.files[0].write_bytes(b"".join(lines[:4]))
    assert signed.report().bad == ""  # only what nobody signed is gone
    signed.rig.files[0].write_bytes(b"".join(lines[:3]))
    report = signed.report()
    assert report.bad_seq == 4
    assert "cut off" in report.bad
    assert verify_trails([signed.rig.directory])[0].bad == ""


def test_a_trail_that_was_written_anew_is_found(signed: Signed) -> None:
    signed.write()
    trail = signed.kept[0].trail
    for file in signed.rig.files:
        file.unlink()
    forged = signed.rig.open()
    forged._trail = trail  # who owns the machine can give it any name
    forged.stop()
    assert signed.report().bad


def test_a_trail_that_is_gone_is_missed(signed: Signed) -> None:
    signed.write()
    for file in signed.rig.files:
        file.unlink()
    signed.rig.write(1)
    reports = verify_trails([signed.rig.directory], signed.kept, signed.roots)
    assert [bool(report.bad) for report in reports] == [False, True]


def test_another_nodes_trails_of_the_same_name_are_not_missed(signed: Signed) -> None:
    signed.write()
    own = signed.kept[0]
    other = msgspec.structs.replace(own, node="spiffe://c/chunkserver/m1", trail="0" * 16)
    earlier = msgspec.structs.replace(own, trail="1" * 16)
    reports = verify_trails([signed.rig.directory], [own, other], signed.roots)
    assert [report.bad for report in reports] == [""]
    reports = verify_trails([signed.rig.directory], [own, other, earlier], signed.roots)
    assert [report.trail for report in reports if report.bad] == ["1" * 16]


def test_the_trails_own_checkpoints_need_no_masters(signed: Signed) -> None:
    signed.write(tells=True)
    told = signed.kept.pop()
    assert signed.report().proven_seq == 4
    lines = signed.rig.lines()
    assert told.signature.encode() in lines[4]
    other = "00" if told.signature[-2:] != "00" else "01"
    lines[4] = lines[4].replace(
        told.signature.encode(), told.signature[:-2].encode() + other.encode()
    )
    signed.rig.files[0].write_bytes(b"".join(lines))
    report = signed.report()
    assert (report.bad_seq, report.bad_line) == (5, 5)
    assert "no proof" in report.bad


def test_a_checkpoint_of_nobodys_key_proves_nothing(signed: Signed, tmp_path: Path) -> None:
    signed.write()
    (tmp_path / "x").mkdir()
    other = Signed(tmp_path / "x")
    report = signed.report(other.roots)
    assert report.proven_seq == 0
    assert "leads to no CA" in report.notes[0]
    right = signed.kept[0]
    for changed in (
        msgspec.structs.replace(right, seq=3),
        msgspec.structs.replace(right, node="spiffe://d/master/m1"),
        msgspec.structs.replace(right, signature="00"),
        msgspec.structs.replace(right, chain_pem="x"),
    ):
        signed.kept = [changed]
        assert signed.report().proven_seq == 0
