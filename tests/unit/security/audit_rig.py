"""A trail with a clock of its own, written by the real thread into a directory of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydfsnode.security.audit.file_writer import Rotation
from pydfsnode.security.audit.record import NAMESPACE, What, Who
from pydfsnode.security.audit.trail import Trail, TrailSettings, open_trail
from pydfsnode.security.audit.verify import TrailReport, verify_trails

ALICE = Who("alice", "user", "10.0.0.9:5123", "framed", "request-1", "f" * 32)
START_MS = 1_795_454_000_123


class TrailRig:
    """Opens trails in *directory*; what they plan for later is done by `flush`."""

    def __init__(self, directory: Path, node: str = "m1") -> None:
        self.directory = directory
        self.node = node
        self.now_s = 0.0
        self._planned: list[Callable[[], None]] = []

    def open(
        self, form: str = "json", *, fail_closed: bool = False, bytes_max: int = 1 << 30,
        age_s: float = 1e9,
    ) -> Trail:  # fmt: skip
        """Begin, or go on."""
        settings = TrailSettings(
            self.directory, form, fail_closed, 0.01, Rotation(bytes_max, age_s)
        )
        return open_trail(
            self.node,
            settings,
            lambda _, work: self._planned.append(work),
            lambda: START_MS + round(self.now_s * 1000),
            lambda: self.now_s,
        )

    def flush(self) -> None:
        """Do what was planned."""
        planned, self._planned = self._planned, []
        for work in planned:
            work()

    def write(self, count: int, form: str = "json") -> None:
        """A whole life of a node: begin, *count* operations of alice, end."""
        trail = self.open(form)
        for number in range(count):
            record(trail, f"/f{number}")
        trail.stop()

    @property
    def files(self) -> list[Path]:
        """In the order of their records."""
        return sorted(self.directory.iterdir())

    def lines(self) -> list[bytes]:
        """Of all files."""
        return [line for file in self.files for line in file.read_bytes().splitlines(True)]

    def report(self) -> TrailReport:
        """What verifying says of the one trail."""
        (found,) = verify_trails([self.directory])
        return found


def record(trail: Trail, path: str, outcome: str = "ok", kind: str = NAMESPACE) -> None:
    """An operation of alice on *path*."""
    trail.append(kind, ALICE, [What("create", path, None, outcome == "ok", outcome)])
