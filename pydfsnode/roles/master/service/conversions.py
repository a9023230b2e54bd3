"""Values of the namespace as messages."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

from pydfsnode._fast import Statuses, messages_in_field_1
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.inodes import HAS_ACL, IS_INLINE, IS_OPEN, ChunkDone, NodeType
from pydfsnode.meta.results import FileView
from pydfsnode.rpc.pb import dfs_pb2 as pb

_TYPES: dict[NodeType, pb.NodeType.ValueType] = {"file": pb.FILE, "directory": pb.DIRECTORY}


STATUSES = Statuses(IS_OPEN, HAS_ACL, IS_INLINE)


class Encoded:
    """An answer that is bytes already, for the transports; who looks into it sees the message."""

    __slots__ = ("_bytes", "_kind")
    __hash__ = None  # type: ignore[assignment] # as protobuf's messages

    def __init__(self, kind: Any, encoded: bytes) -> None:
        self._kind = kind
        self._bytes = encoded

    def SerializeToString(self) -> bytes:
        """The message."""
        return self._bytes

    def message(self) -> Any:
        """As protobuf's object, to be added to."""
        return self._kind.FromString(self._bytes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoded) and other._bytes == self._bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.message(), name)


class _HasStatus(Protocol):
    @property
    def status(self) -> pb.FileStatus: ...


S = TypeVar("S", bound=_HasStatus)


def type_name(asked: int) -> NodeType | None:
    """The type that a request asks for, None for both.

    Raises:
        InvalidArgument: another number.
    """
    if asked == pb.NODE_TYPE_UNSPECIFIED:
        return None
    for name, number in _TYPES.items():
        if number == asked:
            return name
    raise InvalidArgument(f"node type {asked} is unknown here: ask for FILE or DIRECTORY")


def chunk_done(request: Any, field: str) -> ChunkDone | None:
    """The finished chunk in *field* of *request*, None when it names none."""
    if not request.HasField(field):
        return None
    done: pb.ChunkDone = getattr(request, field)
    return ChunkDone(done.chunk_id, done.version, done.length, done.crc32c)


def fill(status: pb.FileStatus, view: FileView) -> None:
    """Set what differs from zero, in place: half the time of the constructor and a copy."""
    status.path = view.path
    status.type = _TYPES[view.type]
    status.owner = view.owner
    status.group = view.group
    status.mode = view.mode
    status.mtime_ms = view.mtime_ms
    status.ctime_ms = view.ctime_ms
    status.atime_ms = view.atime_ms
    status.inode_id = view.inode_id
    if view.child_count:
        status.child_count = view.child_count
    if view.has_acl:
        status.has_acl = True
    if view.type == "file":
        status.size = view.size
        status.replication = view.replication
        status.chunk_bytes = view.chunk_bytes
        status.checksum = view.checksum
        if view.under_construction:
            status.under_construction = True
        if view.inline:
            status.inline = True


def answer(kind: type[S], view: FileView) -> S:
    """The answer of type *kind*, whose field 1 is the status, for *view*."""
    return cast(S, Encoded(kind, answer_bytes(view)))


def answer_bytes(view: FileView) -> bytes:
    """As `answer`, encoded."""
    return messages_in_field_1([STATUSES.of_view(view)])


def created_bytes(view: FileView, leader_hint: str) -> bytes:
    """As `answer_bytes`, of a CreateResponse."""
    return answer_bytes(view) + _hint_of_created(leader_hint)


@lru_cache(maxsize=8)  # of masters that led
def _hint_of_created(leader_hint: str) -> bytes:
    return pb.CreateResponse(leader_hint=leader_hint).SerializeToString()
