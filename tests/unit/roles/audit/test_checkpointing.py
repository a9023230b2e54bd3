"""A trail is signed when enough came or enough time went by, and the masters get each signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import TlsFiles
from pydfsnode.errors import Unavailable
from pydfsnode.roles.audit.checkpointing import Checkpointing
from pydfsnode.rpc.audit_calls import from_message
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security import pki
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.tls import TlsStore
from tests.unit.security.audit_rig import TrailRig, record

RECORDS, SECONDS = 5, 30.0


class Masters:
    """Take checkpoints while `answers`."""

    def __init__(self) -> None:
        self.answers = True
        self.kept: list[Checkpoint] = []

    async def ask(self, path: str, request: Any, *, timeout_ms: int) -> None:
        assert path == "/pydfs.v1.Security/RecordAuditCheckpoint"
        if not self.answers:
            raise Unavailable("no leader is known")
        self.kept.append(from_message(request.checkpoint))


class Bench:
    """A chunkserver's trail and the clock that signing goes by."""

    def __init__(self, directory: Path) -> None:
        pki.init_ca(directory / "ca", "c")
        files = pki.issue(directory / "ca", directory / "c1", "chunkserver", "c1")
        tls = TlsStore.load(TlsFiles(str(files.ca), str(files.cert), str(files.key)))
        self.rig = TrailRig(directory / "audit", "c1")
        self.trail = self.rig.open()
        self.masters = Masters()
        self.clock = ManualClock()
        self.signing = Checkpointing(
            self.trail, tls, self.masters.ask, self.clock, RECORDS, SECONDS
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.trail.stop()


async def test_the_begin_is_signed_at_once_and_then_nothing_without_records(bench: Bench) -> None:
    for _ in range(3):
        await bench.signing.step()
        bench.clock.advance(round(SECONDS * 1000))
    assert [(each.node, each.seq) for each in bench.masters.kept] == [
        ("spiffe://c/chunkserver/c1", 1)
    ]
    bench.trail.stop()
    assert (bench.rig.report().bad, bench.rig.report().proven_seq) == ("", 1)


async def test_it_is_signed_after_some_time_or_many_records(bench: Bench) -> None:
    await bench.signing.step()
    record(bench.trail, "/few")
    await bench.signing.step()
    assert len(bench.masters.kept) == 1
    bench.clock.advance(round(SECONDS * 1000))
    await bench.signing.step()
    assert [each.seq for each in bench.masters.kept] == [1, 3]
    for number in range(RECORDS):
        record(bench.trail, f"/{number}")
    await bench.signing.step()
    assert [each.seq for each in bench.masters.kept] == [1, 3, 9]


async def test_what_no_master_took_is_sent_again(bench: Bench) -> None:
    bench.masters.answers = False
    await bench.signing.step()
    await bench.signing.step()
    bench.masters.answers = True
    await bench.signing.step()
    assert [each.seq for each in bench.masters.kept] == [1]
