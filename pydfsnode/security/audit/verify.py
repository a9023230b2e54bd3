"""Verifying trails off line: the first record that is not as it was written is named.

The chain shows what was edited, reordered or taken out; checkpoints show what was cut off at the
end or written anew as a whole. Those in the trail itself cover what lies before them, those of the
masters' replicated state also the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from pydfsnode.security.audit.record import Record
from pydfsnode.security.audit.trail_files import TrailFile, genesis, trail_files

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pydfsnode.security.audit.checkpoint import Checkpoint

CUT = "is no whole line"
D = TypeVar("D", bound=msgspec.Struct)


@dataclass(slots=True)
class TrailReport:
    """What is known of one trail. `bad` names the first fault, "" when there is none."""

    node: str
    trail: str
    first_seq: int = 0
    last_seq: int = 0
    records: int = 0
    bad: str = ""
    bad_seq: int = 0
    bad_file: str = ""
    bad_line: int = 0
    proven_seq: int = 0
    """Up to here a checkpoint proves the trail; what follows is only chained."""
    gaps: int = 0
    """Records that the node itself says it could not keep."""
    torn_lines: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and where it stands; `record` is None where none can be read."""

    file: TrailFile
    number: int
    raw: bytes
    record: Record | None
    why: str = ""

    @property
    def digest(self) -> str:
        return sha256(self.raw).hexdigest()


class _Torn(msgspec.Struct):
    torn_bytes: int = 0
    torn_sha256: str = ""


class _Gap(msgspec.Struct):
    dropped: int


def verify_trails(
    paths: Sequence[Path],
    checkpoints: Sequence[Checkpoint] = (),
    roots: Sequence[Certificate] | None = None,
) -> list[TrailReport]:
    """A report on each trail among *paths* (files, or directories of them).

    Args:
        checkpoints: of the masters' state.
        roots: CAs that the signatures must lead to; None: any certificate will do.
    Raises:
        OSError: a file cannot be read.
    """
    reports = []
    seen: set[tuple[str, str]] = set()
    for (node, trail), files in groupby(trail_files(paths), key=lambda f: (f.node, f.trail)):
        own = [each for each in checkpoints if _is_of(each, node, trail)]
        reports.append(_Verifier(node, trail, own, roots).run(list(files)))
        seen.add((node, trail))
    for each in checkpoints:
        node = _name(each)
        if (node, each.trail) not in seen and each.node in _identities(node, seen, checkpoints):
            missing = TrailReport(node, each.trail, bad_seq=1)
            missing.bad = f"the masters know of {each.seq} records of this trail, no file is here"
            reports.append(missing)
    return reports


def _identities(
    node: str, seen: Collection[tuple[str, str]], checkpoints: Sequence[Checkpoint]
) -> set[str]:
    """Whose trails those of the name *node* are that were seen: a master's, a chunkserver's.

    When no checkpoint tells it, any node of that name may be meant.
    """
    if all(name != node for name, _ in seen):
        return set()
    of_name = [each for each in checkpoints if _name(each) == node]
    told = {each.node for each in of_name if (node, each.trail) in seen}
    return told or {each.node for each in of_name}


def _name(checkpoint: Checkpoint) -> str:
    return checkpoint.node.rpartition("/")[2]


def _is_of(checkpoint: Checkpoint, node: str, trail: str) -> bool:
    return checkpoint.trail == trail and _name(checkpoint) == node


class _Verifier:
    """Of one trail."""

    def __init__(
        self, node: str, trail: str, checkpoints: Sequence[Checkpoint],
        roots: Sequence[Certificate] | None,
    ) -> None:  # fmt: skip
        self._report = TrailReport(node, trail)
        self._roots = roots
        self._checkpoints = list(checkpoints)
        self._wanted = {each.seq: each for each in self._checkpoints}
        self._torn: list[_Line] = []
        self._before: _Line | None = None

    def run(self, files: Sequence[TrailFile]) -> TrailReport:
        """Read everything, up to the first fault."""
        report = self._report
        for each in self._checkpoints:
            fault = self._fault_of(each)
            if fault:
                report.notes.append(f"the masters' checkpoint at {each.seq} is no proof: {fault}")
                self._wanted.pop(each.seq, None)
        lines = _lines(files)
        line = next(lines, None)
        while line is not None and not report.bad:
            following = next(lines, None)
            self._take(line, following)
            line = following
        if not report.bad:
            self._finish(files)
        return report

    def _take(self, line: _Line, following: _Line | None) -> None:
        record, report = line.record, self._report
        if record is None:
            self._torn.append(line)  # the next record must say what it is
            return
        if self._torn and not self._explains(record):
            self._accuse(self._torn[0], self._next_seq, self._torn[0].why)
            return
        if self._before is None:
            if record.seq != line.file.first_seq:
                self._accuse(line, record.seq, f"its file begins with {line.file.first_seq}")
            elif record.seq == 1 and record.prev != genesis(report.node, report.trail):
                self._accuse(line, 1, "is not the first of this trail: the file was renamed")
            report.first_seq = record.seq
        elif not self._follows(line, record, self._before, following):
            return
        self._count(line, record)

    def _follows(self, line: _Line, record: Record, before: _Line, following: _Line | None) -> bool:
        wanted = self._next_seq
        if record.seq > wanted and record.prev != before.digest:
            self._accuse(line, wanted, f"is missing: {record.seq} comes in its place")
        elif record.seq != wanted:
            self._accuse(line, record.seq, f"stands where {wanted} belongs")
        elif record.prev != before.digest:
            # Either one may be the one that was changed: the record that follows tells.
            next_record = None if following is None else following.record
            if next_record is not None and next_record.prev != line.digest:
                self._accuse(line, record.seq, "was changed: the record after it names another")
            else:
                self._accuse(
                    before, record.seq - 1, "was changed: the record after it names another"
                )
        else:
            return True
        return False

    def _count(self, line: _Line, record: Record) -> None:
        report, digest = self._report, line.digest
        self._before = line
        report.last_seq = record.seq
        report.records += 1
        wanted = self._wanted.pop(record.seq, None)
        if wanted is not None:
            self._compare(line, wanted, digest)
        if record.kind != "trail":
            return
        if record.cmd == "gap":
            report.gaps += _detail(record, _Gap, _Gap(0)).dropped
        elif record.cmd == "checkpoint":
            self._check_own(line, record)

    def _check_own(self, line: _Line, record: Record) -> None:
        from pydfsnode.security.audit.checkpoint import Checkpoint

        try:
            told = msgspec.json.decode(record.detail, type=Checkpoint)
        except msgspec.DecodeError:
            self._accuse(line, record.seq, "is a checkpoint that cannot be read")
            return
        if not _is_of(told, self._report.node, self._report.trail):
            self._accuse(line, record.seq, "is a checkpoint of another trail")
        elif fault := self._fault_of(told):
            self._accuse(line, record.seq, f"is a checkpoint that is no proof: {fault}")
        elif told.seq != record.seq - 1:
            self._accuse(line, record.seq, "is a checkpoint of another record than the one before")
        elif record.prev != told.sha256:
            self._compare(line, told, record.prev)
        else:
            self._report.proven_seq = max(self._report.proven_seq, told.seq)

    def _fault_of(self, checkpoint: Checkpoint) -> str:
        from pydfsnode.security.audit.checkpoints import fault_of

        return fault_of(checkpoint, self._roots)

    def _compare(self, line: _Line, checkpoint: Checkpoint, digest: str) -> None:
        if digest != checkpoint.sha256:
            why = "or one before it was written anew: a checkpoint signed something else"
            self._accuse(line, checkpoint.seq, why)
        else:
            self._report.proven_seq = max(self._report.proven_seq, checkpoint.seq)

    def _finish(self, files: Sequence[TrailFile]) -> None:
        report = self._report
        if self._torn:
            last = self._torn[0]
            if len(self._torn) > 1 or last.why != CUT:
                self._accuse(last, self._next_seq, last.why)
                return
            report.notes.append("ends within a line: it is being written, or a crash cut it")
        for each in self._wanted.values():
            if each.seq > report.last_seq:
                report.bad_seq = report.last_seq + 1
                report.bad_file = str(files[-1].path)
                report.bad = (
                    f"and what follows was cut off: the masters know of records up to {each.seq}"
                )
            elif each.seq < report.first_seq:
                report.notes.append(f"the trail begins at {report.first_seq} here")
        if report.first_seq > 1 and not report.notes:
            report.notes.append(f"the trail begins at {report.first_seq} here")

    def _explains(self, record: Record) -> bool:
        """Whether *record* says of the torn line before it what it is."""
        torn = b"\n".join(line.raw for line in self._torn)
        told = _detail(record, _Torn, _Torn()) if record.cmd == "resume" else _Torn()
        if (told.torn_bytes, told.torn_sha256) != (len(torn), sha256(torn).hexdigest()):
            return False
        self._torn.clear()
        self._report.torn_lines += 1
        return True

    @property
    def _next_seq(self) -> int:
        return self._report.last_seq + 1

    def _accuse(self, line: _Line, seq: int, why: str) -> None:
        report = self._report
        report.bad, report.bad_seq = why, seq
        report.bad_file, report.bad_line = str(line.file.path), line.number


def _detail(record: Record, kind: type[D], otherwise: D) -> D:
    try:
        return msgspec.json.decode(record.detail, type=kind)
    except msgspec.DecodeError:
        return otherwise


def _lines(files: Iterable[TrailFile]) -> Iterator[_Line]:
    for file in files:
        with file.path.open("rb") as opened:
            for number, raw in enumerate(opened, 1):
                line, record, why = raw.removesuffix(b"\n"), None, CUT
                if raw.endswith(b"\n"):
                    try:
                        record = file.format.parse(line)
                    except ValueError as error:
                        why = f"cannot be read ({error})"
                yield _Line(file, number, line, record, why)
