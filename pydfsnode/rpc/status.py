"""The one table from error classes to gRPC codes, and errors as they travel in a status."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from pydfsnode import errors
from pydfsnode.errors import Field, InvariantViolation, PydfsError, from_wire
from pydfsnode.rpc.pb import dfs_pb2

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED = 0, 1, 2, 3, 4
NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 5, 6, 7, 8
FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED = 9, 10, 11, 12
INTERNAL, UNAVAILABLE, DATA_LOSS, UNAUTHENTICATED = 13, 14, 15, 16
"""Numbers of google.rpc.Code."""

ERROR_INFO_URL = "type.googleapis.com/pydfs.v1.ErrorInfo"
INTEGER_SUFFIXES = ("_ms", "_bytes", "_max", "_index")
MESSAGE_CHARACTERS_MAX = 2048

CODES: dict[type[PydfsError], int] = {
    errors.PydfsError: INTERNAL,
    errors.ConfigError: FAILED_PRECONDITION,
    errors.WrongCluster: UNAUTHENTICATED,
    errors.DomainError: FAILED_PRECONDITION,
    errors.NotFound: NOT_FOUND,
    errors.AlreadyExists: ALREADY_EXISTS,
    errors.NotADirectory: FAILED_PRECONDITION,
    errors.IsADirectory: FAILED_PRECONDITION,
    errors.DirectoryNotEmpty: FAILED_PRECONDITION,
    errors.InvalidPath: INVALID_ARGUMENT,
    errors.InvalidRename: INVALID_ARGUMENT,
    errors.InvalidArgument: INVALID_ARGUMENT,
    errors.UnknownChunk: NOT_FOUND,
    errors.ClusterError: UNAVAILABLE,
    errors.NotLeader: UNAVAILABLE,
    errors.ProposalDropped: ABORTED,
    errors.NoQuorum: UNAVAILABLE,
    errors.Overloaded: RESOURCE_EXHAUSTED,
    errors.StaleEpoch: FAILED_PRECONDITION,
    errors.Unavailable: UNAVAILABLE,
    errors.DeadlineExceeded: DEADLINE_EXCEEDED,
    errors.Cancelled: CANCELLED,
    errors.NoChunkservers: RESOURCE_EXHAUSTED,
    errors.OutcomeUnknown: UNKNOWN,
    errors.PipelineBroken: ABORTED,
    errors.ChunkUnavailable: UNAVAILABLE,
    errors.ChangeInProgress: ABORTED,
    errors.StaleRead: UNAVAILABLE,
    errors.ReadOnly: FAILED_PRECONDITION,
    errors.TransferFailed: UNAVAILABLE,
    errors.UnsafeChange: FAILED_PRECONDITION,
    errors.ProtocolError: INTERNAL,
    errors.UnknownMethod: UNIMPLEMENTED,
    errors.MessageTooLarge: RESOURCE_EXHAUSTED,
    errors.MalformedMessage: INVALID_ARGUMENT,
    errors.StorageError: INTERNAL,
    errors.Compacted: OUT_OF_RANGE,
    errors.CorruptionError: DATA_LOSS,
    errors.DiskFull: RESOURCE_EXHAUSTED,
    errors.ReplicaNotFound: NOT_FOUND,
    errors.SecurityError: PERMISSION_DENIED,
    errors.PeerUnauthenticated: UNAUTHENTICATED,
    errors.KeyUnavailable: FAILED_PRECONDITION,
    errors.SealBroken: DATA_LOSS,
    errors.InvariantViolation: INTERNAL,
}
"""Error class to code; a class without a row has its nearest base's."""

CLASSES: dict[int, type[PydfsError]] = {
    CANCELLED: errors.Cancelled,
    INVALID_ARGUMENT: errors.InvalidArgument,
    DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    NOT_FOUND: errors.NotFound,
    ALREADY_EXISTS: errors.AlreadyExists,
    PERMISSION_DENIED: errors.PermissionDenied,
    RESOURCE_EXHAUSTED: errors.Overloaded,
    UNIMPLEMENTED: errors.UnknownMethod,
    UNAVAILABLE: errors.Unavailable,
    DATA_LOSS: errors.CorruptionError,
    UNAUTHENTICATED: errors.PeerUnauthenticated,
}
"""Code to class for a foreign peer's status, which carries no ErrorInfo."""


@dataclass(frozen=True, slots=True)
class Status:
    """A failed call's answer: gRPC code, text for people, encoded ErrorInfo, leader hint or ""."""

    code: int
    message: str
    error_info: bytes
    leader_hint: str


def code_of(error: PydfsError) -> int:
    """The gRPC code of *error*'s class or of its nearest base that has one."""
    for cls in type(error).__mro__:
        code = CODES.get(cls)
        if code is not None:
            return code
    return INTERNAL


def status_of(error: PydfsError) -> Status:
    """*error* as it travels; `error_from_status` rebuilds the same class from it."""
    message = error.message[:MESSAGE_CHARACTERS_MAX]
    fields = {name: str(value) for name, value in error.fields.items()}
    leader_hint = fields.pop("leader_hint", "")
    encoded = dfs_pb2.ErrorInfo(
        code=error.code, message=message, fields=fields, leader_hint=leader_hint
    )
    return Status(code_of(error), message, encoded.SerializeToString(), leader_hint)


def error_from_status(code: int, message: str, error_info: bytes = b"") -> PydfsError:
    """The error that a peer sent.

    Args:
        code: gRPC's number, not OK.
        message: the status's text.
        error_info: an encoded ErrorInfo, or b"" from a foreign peer.
    """
    if error_info:
        try:
            sent = dfs_pb2.ErrorInfo.FromString(error_info)
        except DecodeError:
            sent = None
        if sent is not None:
            return _rebuild(sent, message)
    return CLASSES.get(code, PydfsError)(message or f"the peer answered with status {code}")


def _rebuild(sent: dfs_pb2.ErrorInfo, message: str) -> PydfsError:
    error = from_wire(sent.code, sent.message or message)
    if isinstance(error, InvariantViolation):
        # The peer's promise is broken, not ours: this node must not stop for it.
        error = PydfsError(f"the peer failed: {error.message}")
    for name, value in sent.fields.items():
        error.fields[name] = _field(name, value)
    if sent.leader_hint or isinstance(error, errors.NotLeader):
        error.fields["leader_hint"] = sent.leader_hint
    return error


def _field(name: str, value: str) -> Field:
    """Fields travel as text; those whose name ends in a unit are integers again."""
    if name.endswith(INTEGER_SUFFIXES) and value.lstrip("-").isdecimal():
        return int(value)
    return value


def internal_error(request_id: str) -> PydfsError:
    """What a caller learns of a bug in a handler: nothing but where to look."""
    return PydfsError(
        f"internal error, request {request_id}: the node's log has the details",
        request_id=request_id,
    )
