"""Records as lines: JSON objects, or the tab-separated fields that HDFS writes and tools parse.

A line ends in its number and the hash of the line before it, which is what chains the trail; the
hash of a record is the SHA-256 of its line without the newline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from json.encoder import encode_basestring as _quoted
from typing import NamedTuple, Protocol

import msgspec

NAMESPACE, CHUNK, ADMIN, SECURITY, RAFT, TRAIL = (
    "namespace", "chunk", "admin", "security", "raft", "trail",
)  # fmt: skip
"""Kinds: what users do to files and to chunks, what administrators do, refused peers and
certificates, leadership and membership, and what the trail says of itself."""
OK = "ok"
DETAIL_CHARACTERS_MAX = 1024


class Who(NamedTuple):
    """Who asked, from where ("host:port"), and which request it was; "" for what is not known.

    `via`: the node that acts for the user and is the peer, as "gateway/g1".
    """

    user: str = ""
    role: str = ""
    peer: str = ""
    transport: str = ""
    request_id: str = ""
    trace_id: str = ""
    via: str = ""


class What(NamedTuple):
    """One thing that was done or refused. `outcome`: "ok" or the name of the error."""

    cmd: str
    src: str | None = None
    dst: str | None = None
    allowed: bool = True
    outcome: str = OK
    detail: str = ""


Fields = tuple[str, str | None, str | None, bool, str, str]
"""A `What` as a plain tuple, which is made in a third of the time."""


class Record(msgspec.Struct, frozen=True):
    """A line that was read, in the form of the JSON lines."""

    seq: int
    time: str
    node: str
    kind: str
    cmd: str
    allowed: bool
    outcome: str
    prev: str
    user: str = ""
    role: str = ""
    via: str = ""
    ip: str = ""
    port: int = 0
    transport: str = ""
    request_id: str = ""
    trace_id: str = ""
    src: str | None = None
    dst: str | None = None
    detail: str = ""


class Format(Protocol):
    """How lines look. `suffix`: of file names. Bodies are lines without what chains them."""

    suffix: str

    def bodies(
        self, at_ms: int, node: str, kind: str, who: Who, all_of: Sequence[Fields]
    ) -> list[str]:
        """A body for each."""
        ...

    def chain(self, bodies: Sequence[str], seq: int, prev: str) -> tuple[bytes, str]:
        """Lines from number *seq* on, after the record of hash *prev*, and the last one's hash."""
        ...

    def parse(self, line: bytes) -> Record:
        """A line without its newline. Raises ValueError."""
        ...


class _Chained:
    """`chain` of both formats. `_line`: a body with its number and the hash before it."""

    _line: Callable[[str, int, str], str]

    def chain(self, bodies: Sequence[str], seq: int, prev: str) -> tuple[bytes, str]:
        """See `Format`."""
        line = self._line
        lines: list[bytes] = []
        for body in bodies:
            encoded = line(body, seq, prev).encode()
            prev = sha256(encoded).hexdigest()
            lines.append(encoded)
            seq += 1
        lines.append(b"")
        return b"\n".join(lines), prev


class JsonLines(_Chained):
    """One JSON object a line."""

    suffix = "jsonl"

    @staticmethod
    def _line(body: str, seq: int, prev: str) -> str:
        return f'{{"seq":{seq},{body},"prev":"{prev}"}}'

    def bodies(
        self, at_ms: int, node: str, kind: str, who: Who, all_of: Sequence[Fields]
    ) -> list[str]:
        """See `Format`."""
        ip, _, port = who.peer.rpartition(":")
        where = f'"ip":{_quoted(ip)},"port":{int(port)}' if port.isdigit() else '"ip":"","port":0'
        via = f'"via":{_quoted(who.via)},' if who.via else ""
        head = (
            f'"time":"{iso_time(at_ms)}","node":{_quoted(node)},"kind":"{kind}",'
            f'"user":{_quoted(who.user)},"role":"{who.role}",{via}{where},'
            f'"transport":"{who.transport}","request_id":{_quoted(who.request_id)},'
            f'"trace_id":"{who.trace_id}","cmd":"'
        )
        return [
            f'{head}{cmd}","src":{"null" if src is None else _quoted(src)},'
            f'"dst":{"null" if dst is None else _quoted(dst)},'
            f'"allowed":{"true" if allowed else "false"},"outcome":"{outcome}"'
            f"{_json_detail(detail) if detail else ''}"
            for cmd, src, dst, allowed, outcome, detail in all_of
        ]

    def parse(self, line: bytes) -> Record:
        """See `Format`."""
        return _DECODE(line)


def _json_detail(detail: str) -> str:
    return f',"detail":{_quoted(detail)}'


_DECODE = msgspec.json.Decoder(Record).decode


class HdfsLines(_Chained):
    """As the name node's audit log, with the fields that it has not behind those that it has."""

    suffix = "log"

    @staticmethod
    def _line(body: str, seq: int, prev: str) -> str:
        return f"{body}\tseq={seq}\tprev={prev}"

    def bodies(
        self, at_ms: int, node: str, kind: str, who: Who, all_of: Sequence[Fields]
    ) -> list[str]:
        """See `Format`."""
        time = iso_time(at_ms)
        ip, _, port = who.peer.rpartition(":")
        head = f"{time[:10]} {time[11:19]},{time[20:23]} INFO pydfsnode.audit: allowed="
        user = f"ugi={_ugi(who)}\tip=/{_field(ip)}\tcmd="
        tail = (
            f"perm=null\tproto={_proto(who.transport)}\tkind={kind}\tnode={_field(node)}"
            f"\trole={who.role}\tport={port or 0}\ttransport={who.transport}"
            f"\trequest_id={_field(who.request_id)}\ttrace_id={who.trace_id}\toutcome="
        )
        return [
            f"{head}{'true' if allowed else 'false'}\t{user}{cmd}\tsrc={_named(src)}"
            f"\tdst={_named(dst)}\t{tail}{outcome}\tdetail={_field(detail)}"
            for cmd, src, dst, allowed, outcome, detail in all_of
        ]

    def parse(self, line: bytes) -> Record:
        """See `Format`."""
        text = line.decode()
        head, separator, rest = text.partition(" INFO pydfsnode.audit: ")
        pairs = dict(part.partition("=")[::2] for part in rest.split("\t"))
        if not separator or len(head) != 23:
            raise ValueError("is no audit line")
        try:
            user, via = _who_is(pairs["ugi"])
            return Record(
                seq=int(pairs["seq"]), time=f"{head[:10]}T{head[11:19]}.{head[20:]}Z",
                node=_plain(pairs["node"]), kind=pairs["kind"], cmd=pairs["cmd"],
                allowed=pairs["allowed"] == "true", outcome=pairs["outcome"], prev=pairs["prev"],
                user=user, role=pairs["role"], via=via,
                ip=_plain(pairs["ip"][1:]), port=int(pairs["port"]), transport=pairs["transport"],
                request_id=_plain(pairs["request_id"]), trace_id=pairs["trace_id"],
                src=_name(pairs["src"]), dst=_name(pairs["dst"]), detail=_plain(pairs["detail"]),
            )  # fmt: skip
        except KeyError as error:
            raise ValueError(f"lacks the field {error.args[0]}") from None


FORMATS: dict[str, Format] = {"json": JsonLines(), "hdfs": HdfsLines()}


def format_of(suffix: str) -> Format | None:
    """The format of files whose names end so."""
    return next((each for each in FORMATS.values() if each.suffix == suffix), None)


_second: tuple[int, str] = (-1, "")


def iso_time(at_ms: int) -> str:
    """ "2026-11-23T17:46:33.952Z"."""
    global _second
    second, ms = divmod(at_ms, 1000)
    if _second[0] != second:
        _second = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{_second[1]}.{ms:03d}Z"


def _field(text: str) -> str:
    """*text* with tabs, newlines, quotes and backslashes as in JSON: one field stays one field."""
    return _quoted(text)[1:-1]


def _ugi(who: Who) -> str:
    """As HDFS words it for a user and for one whom a proxy user acts for."""
    if who.via:
        return f"{_field(who.user)} (auth:PROXY) via {_field(who.via)}{_TLS}"
    return f"{_field(who.user)}{_TLS}"


_TLS = " (auth:TLS)"


def _who_is(ugi: str) -> tuple[str, str]:
    """The user and who acts for him. The names of both hold no space."""
    user, _, via = ugi.removesuffix(_TLS).partition(" (auth:PROXY) via ")
    return _plain(user), _plain(via)


def _plain(field: str) -> str:
    return msgspec.json.decode(f'"{field}"', type=str)


def _named(path: str | None) -> str:
    return "null" if path is None else _field(path)


def _name(field: str) -> str | None:
    return None if field == "null" else _plain(field)


def _proto(transport: str) -> str:
    return "webhdfs" if transport == "https" else "rpc"
