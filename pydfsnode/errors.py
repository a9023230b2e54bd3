"""The one hierarchy of errors; every error that a user or peer can see has a code here.

    PydfsError             code, retry, fields (strings and integers, carried over the wire)
    ├ ConfigError      1xxx  refuses to start, exit 2
    ├ DomainError      2xxx  a rule of the namespace said no; retrying changes nothing
    ├ ClusterError     3xxx  who to ask, or when; `retry` says how
    ├ ProtocolError    4xxx  a peer or we broke the wire format; the connection is closed
    ├ StorageError     5xxx  disks
    ├ SecurityError    6xxx  certificates, roles, seals
    └ InvariantViolation 9xxx  our own promise is broken; the node stops (INV-STOP)

Codes are never reused. Messages name the value and the remedy and never hold a secret.
"""

from __future__ import annotations

import enum
from typing import ClassVar

Field = str | int


class Retry(enum.Enum):
    """What a caller may do with an operation that failed in this way."""

    NEVER = "never"
    SAME_NODE_LATER = "same_node_later"
    OTHER_NODE = "other_node"
    SAME_OP_ID = "same_op_id"  # outcome unknown: ask again with the same op id (INV-ONCE)


class PydfsError(Exception):
    """Base of all. `fields` are typed details that survive the wire; the message is for people."""

    code: ClassVar[int] = 0
    retry: ClassVar[Retry] = Retry.NEVER

    def __init__(self, message: str, **fields: Field) -> None:
        super().__init__(message)
        self.message = message
        self.fields: dict[str, Field] = fields

    def __str__(self) -> str:
        return self.message


# ---- 1xxx configuration: refuses to start


class ConfigError(PydfsError):
    code = 1000


class UsageError(ConfigError):
    code = 1001


class PortInUse(ConfigError):
    code = 1002


class WrongCluster(ConfigError):
    """A data directory, certificate or peer that belongs to another cluster or node."""

    code = 1003


class DirectoryLocked(ConfigError):
    code = 1004


# ---- 2xxx domain: the namespace said no


class DomainError(PydfsError):
    code = 2000


class NotFound(DomainError):
    code = 2001


class AlreadyExists(DomainError):
    code = 2002


class NotADirectory(DomainError):
    code = 2003


class IsADirectory(DomainError):
    code = 2004


class DirectoryNotEmpty(DomainError):
    code = 2005


class InvalidPath(DomainError):
    code = 2006


class InvalidRename(DomainError):
    code = 2007


class InvalidArgument(DomainError):
    code = 2008


class FileUnderConstruction(DomainError):
    """The file is being written by somebody else, or is not closed yet."""

    code = 2009


class LeaseExpired(DomainError):
    """The writer no longer owns the file it writes."""

    code = 2010


class UnknownChunk(DomainError):
    code = 2011


class StaleChunkVersion(DomainError):
    code = 2012


class SessionExpired(DomainError):
    """The op id is older than what the session table remembers; its outcome cannot be known."""

    code = 2013


class AccessDenied(DomainError):
    """The caller's user may not do that to this file or directory."""

    code = 2014


class QuotaExceeded(DomainError):
    """A directory above has no room left for the names or bytes."""

    code = 2015


class NotSupported(DomainError):
    """Something other file systems have and this one has not, as symbolic links."""

    code = 2016


class SafeMode(DomainError):
    """An operator made the namespace read-only for a while."""

    code = 2017


# ---- 3xxx cluster: ask elsewhere or later


class ClusterError(PydfsError):
    code = 3000


class NotLeader(ClusterError):
    """`fields["leader_hint"]` is "node_id=host:port" of the leader, or ""."""

    code = 3001
    retry = Retry.OTHER_NODE

    @property
    def leader_hint(self) -> str:
        return str(self.fields.get("leader_hint", ""))


class ProposalDropped(ClusterError):
    code = 3002
    retry = Retry.SAME_OP_ID


class NoQuorum(ClusterError):
    code = 3003
    retry = Retry.OTHER_NODE


class Overloaded(ClusterError):
    """`fields["retry_after_ms"]` says when to come again (INV-BOUND)."""

    code = 3004
    retry = Retry.SAME_NODE_LATER


class StaleEpoch(ClusterError):
    """A command of a deposed leader (INV-FENCE)."""

    code = 3005


class Unavailable(ClusterError):
    """The peer cannot be reached; nothing was sent."""

    code = 3006
    retry = Retry.OTHER_NODE


class DeadlineExceeded(ClusterError):
    code = 3007


class Cancelled(ClusterError):
    code = 3008


class NoChunkservers(ClusterError):
    """Too few live chunkservers with space."""

    code = 3009
    retry = Retry.SAME_NODE_LATER


class OutcomeUnknown(ClusterError):
    """The answer was lost; the operation may or may not have happened."""

    code = 3010
    retry = Retry.SAME_OP_ID


class PipelineBroken(ClusterError):
    """A server of a write pipeline failed; `fields["failed_node_id"]` names it when known."""

    code = 3011


class ChunkUnavailable(ClusterError):
    """No replica of a chunk could be read."""

    code = 3012
    retry = Retry.SAME_NODE_LATER


class ChangeInProgress(ClusterError):
    """Another change of the members is not finished yet."""

    code = 3013
    retry = Retry.SAME_NODE_LATER


class StaleRead(ClusterError):
    """This master's state may be older than the read allows; another may be fresher."""

    code = 3014
    retry = Retry.OTHER_NODE


class KeyNeeded(Overloaded):
    """A new file needs a key that the leader did not draw: its directory was changed meanwhile."""

    code = 3018


class ReadOnly(ClusterError):
    """The masters take no changes by configuration."""

    code = 3015


class TransferFailed(ClusterError):
    """The leader could not hand over in time and leads on."""

    code = 3016
    retry = Retry.SAME_NODE_LATER


class UnsafeChange(ClusterError):
    """A change of the members that would lose the majority, or what only one copy holds."""

    code = 3017


# ---- 4xxx protocol: the connection is closed


class ProtocolError(PydfsError):
    code = 4000


class LocalProtocolError(ProtocolError):
    code = 4001


class RemoteProtocolError(ProtocolError):
    code = 4002


class UnknownMethod(ProtocolError):
    code = 4003


class MessageTooLarge(ProtocolError):
    code = 4004


class MalformedMessage(ProtocolError):
    code = 4005


# ---- 5xxx storage


class StorageError(PydfsError):
    code = 5000


class Compacted(StorageError):
    code = 5001


class CorruptionError(StorageError):
    code = 5002


class DiskFull(StorageError):
    code = 5003


class ReplicaNotFound(StorageError):
    code = 5004
    retry = Retry.OTHER_NODE


# ---- 6xxx security


class SecurityError(PydfsError):
    code = 6000


class PeerUnauthenticated(SecurityError):
    code = 6001


class PermissionDenied(SecurityError):
    code = 6002


class KeyUnavailable(SecurityError):
    code = 6003


class SealBroken(SecurityError):
    code = 6004


class FileKeyMissing(KeyUnavailable):
    """A chunk needs the key of its file, which the masters have to be asked for first."""

    code = 6014


class CertificateInvalid(SecurityError):
    code = 6005


class CertificateRevoked(PeerUnauthenticated):
    """An administrator declared the peer's certificate worthless."""

    code = 6010


class IssuerUntrusted(PeerUnauthenticated):
    """The peer's certificate leads to no CA that is believed now, or is not valid now."""

    code = 6011


class OtherCluster(PeerUnauthenticated):
    """The peer's certificate is of another cluster."""

    code = 6012


class CapabilityRefused(SecurityError):
    """A chunkserver was shown no capability for the chunk, or one that is not good for this."""

    code = 6013


# ---- 9xxx broken promises


class InvariantViolation(PydfsError):
    """The node must stop: going on could lose or falsify data."""

    code = 9000


class DurabilityFailure(InvariantViolation):
    """An fsync or log write failed; what is on disk is unknown (INV-STOP)."""

    code = 9001


class StateDiverged(InvariantViolation):
    """This master applied the same entries as the others and holds another state (INV-SAME)."""

    code = 9002


def invariant(condition: object, message: str, **fields: Field) -> None:
    """Raise `InvariantViolation` unless *condition* holds. Unlike `assert` it survives `-O`."""
    if not condition:
        raise InvariantViolation(message, **fields)


def _all_subclasses(cls: type[PydfsError]) -> list[type[PydfsError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found.extend(_all_subclasses(sub))
    return found


BY_CODE: dict[int, type[PydfsError]] = {c.code: c for c in _all_subclasses(PydfsError)}


def from_wire(code: int, message: str, fields: dict[str, str] | None = None) -> PydfsError:
    """Rebuild the error that a peer sent; an unknown code becomes a plain `PydfsError`."""
    return BY_CODE.get(code, PydfsError)(message, **(fields or {}))
