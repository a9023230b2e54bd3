"""Errors travel as a gRPC status with details and arrive as the same class."""

from __future__ import annotations

import grpc
import pytest

from pydfsnode import errors
from pydfsnode.errors import BY_CODE, InvariantViolation, NotLeader, Overloaded, PydfsError
from pydfsnode.rpc import status
from pydfsnode.rpc.status import CODES, code_of, error_from_status, internal_error, status_of

WIRE_CLASSES = [c for c in BY_CODE.values() if not issubclass(c, InvariantViolation)]


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda c: c.__name__)
def test_every_error_class_has_a_code_that_grpc_knows(cls: type[PydfsError]) -> None:
    assert any(base in CODES for base in cls.__mro__)
    assert code_of(cls("x")) in {c.value[0] for c in grpc.StatusCode} - {0}


@pytest.mark.parametrize(
    ("cls", "code"),
    [
        (errors.ChangeInProgress, status.ABORTED),
        (errors.StaleRead, status.UNAVAILABLE),
        (errors.ReadOnly, status.FAILED_PRECONDITION),
        (errors.TransferFailed, status.UNAVAILABLE),
        (errors.UnsafeChange, status.FAILED_PRECONDITION),
        (errors.StateDiverged, status.INTERNAL),
    ],
)
def test_a_grpc_client_retries_only_what_may_help(cls: type[PydfsError], code: int) -> None:
    assert code_of(cls("x")) == code
    if code == status.FAILED_PRECONDITION:
        assert cls.retry is errors.Retry.NEVER


def test_the_codes_are_grpcs() -> None:
    for known in grpc.StatusCode:
        assert getattr(status, known.name) == known.value[0]


@pytest.mark.parametrize("cls", WIRE_CLASSES, ids=lambda c: c.__name__)
def test_every_error_class_survives_the_wire(cls: type[PydfsError]) -> None:
    sent = status_of(cls("message", path="/x", retry_after_ms=5))
    error = error_from_status(sent.code, sent.message, sent.error_info)
    assert type(error) is cls
    assert error.message == "message"
    assert error.fields["path"] == "/x"
    assert error.fields["retry_after_ms"] == 5


def test_the_leader_hint_survives_and_is_there_even_when_unknown() -> None:
    known = status_of(NotLeader("no", leader_hint="m2=h:1"))
    assert known.leader_hint == "m2=h:1"
    rebuilt = error_from_status(known.code, "", known.error_info)
    assert isinstance(rebuilt, NotLeader)
    assert rebuilt.leader_hint == "m2=h:1"
    unknown = status_of(NotLeader("no"))
    rebuilt = error_from_status(unknown.code, "", unknown.error_info)
    assert isinstance(rebuilt, NotLeader)
    assert rebuilt.leader_hint == ""


def test_a_peers_broken_invariant_does_not_stop_this_node() -> None:
    sent = status_of(InvariantViolation("applied index went back"))
    error = error_from_status(sent.code, sent.message, sent.error_info)
    assert not isinstance(error, InvariantViolation)
    assert "applied index went back" in error.message


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (1, errors.Cancelled), (4, errors.DeadlineExceeded), (5, errors.NotFound),
        (7, errors.PermissionDenied), (8, Overloaded), (12, errors.UnknownMethod),
        (14, errors.Unavailable), (16, errors.PeerUnauthenticated), (2, PydfsError),
        (99, PydfsError),
    ],
)  # fmt: skip
def test_a_foreign_status_becomes_the_nearest_class(code: int, cls: type[PydfsError]) -> None:
    error = error_from_status(code, "said so")
    assert type(error) is cls
    assert error.message == "said so"


def test_damaged_details_fall_back_to_the_code() -> None:
    error = error_from_status(5, "gone", b"\xff\xff\xff")
    assert type(error) is errors.NotFound
    assert error.message == "gone"


def test_a_code_of_a_newer_version_is_a_plain_error_with_its_message() -> None:
    info = status.dfs_pb2.ErrorInfo(code=2999, message="something new").SerializeToString()
    error = error_from_status(9, "", info)
    assert type(error) is PydfsError
    assert error.message == "something new"


def test_a_message_is_cut_to_what_metadata_can_carry() -> None:
    sent = status_of(errors.NotFound("x" * 100_000))
    assert len(sent.message) == status.MESSAGE_CHARACTERS_MAX
    assert len(sent.error_info) < status.MESSAGE_CHARACTERS_MAX + 100


def test_an_internal_error_names_the_request_and_nothing_else() -> None:
    error = internal_error("r-1")
    assert "r-1" in error.message
    assert code_of(error) == status.INTERNAL
