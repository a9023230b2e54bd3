"""What operators order of the fleet: it is replicated, kept, and only for superusers."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument, SafeMode
from pydfsnode.fleet import servers
from pydfsnode.meta import administration, ops, queries
from pydfsnode.meta.administration import BALANCE, SAFE_MODE, Duty, Mode
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import Done
from pydfsnode.roles.master.machine import load_namespace
from tests.unit.meta.harness import Harness

MIB = 1 << 20


def duties(harness: Harness) -> dict[str, str]:
    found = harness.namespace.tree.administration.duties
    return {name: duty.state for name, duty in found.items()}


def test_the_words_are_those_of_the_fleet() -> None:
    for name in ("IN_SERVICE", "DECOMMISSIONING", "DECOMMISSIONED", "MAINTENANCE"):
        assert getattr(administration, name) == getattr(servers, name)


def test_servers_go_out_of_service_and_come_back() -> None:
    harness = Harness()
    assert harness.run(ops.SetDuty, ("c1", "c2"), "decommissioning") == Done()
    harness.run(ops.SetDuty, ("c3",), "maintenance", 9_000)
    assert harness.namespace.tree.administration.duties["c3"] == Duty(
        "c3", "maintenance", 9_000, 1_000, "alice"
    )
    harness.run(ops.SetDuty, ("c1",), "decommissioned")
    harness.run(ops.SetDuty, ("c2", "c3"), "in service")
    assert duties(harness) == {"c1": "decommissioned"}
    harness.run(ops.SetDuty, ("c1",), "in service")
    assert duties(harness) == {}


def test_the_end_that_is_there_already_changes_nothing() -> None:
    harness = Harness()
    harness.run(ops.SetDuty, ("c1",), "decommissioning")
    before = harness.tree_hash()
    harness.now_ms += 1_000
    harness.run(ops.SetDuty, ("c1",), "decommissioning")
    harness.run(ops.SetDuty, ("c2",), "in service")
    harness.run(ops.SetDuty, ("c2",), "decommissioned")  # the leader is late: it was recommissioned
    assert harness.tree_hash() == before
    harness.run(ops.SetDuty, ("c1",), "decommissioned")
    harness.run(ops.SetDuty, ("c1",), "decommissioning")
    assert duties(harness) == {"c1": "decommissioned"}


@pytest.mark.parametrize(
    "fields",
    [
        (("c1",), "away"),
        ((), "decommissioning"),
        (("",), "decommissioning"),
        (("x" * 65,), "decommissioning"),
        (("c1",), "maintenance"),
        (tuple(f"c{n}" for n in range(5000)), "decommissioning"),
    ],
)
def test_orders_that_cannot_be_are_refused(fields: tuple[object, ...]) -> None:
    assert isinstance(Harness().refusal(ops.SetDuty, *fields), InvalidArgument)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ops.SetDuty, (("c1",), "decommissioning")),
        (ops.SetSafeMode, (True,)),
        (ops.SetBalance, (1000, 1000)),
    ],
)
def test_only_superusers_order(kind: type[ops.Op], fields: tuple[object, ...]) -> None:
    error = Harness().refusal(kind, *fields, user="bob:eng")
    assert isinstance(error, AccessDenied)


def test_in_safe_mode_everything_can_be_read_and_nothing_changed() -> None:
    harness = Harness()
    harness.run(ops.Mkdirs, "/d")
    harness.run(ops.SetSafeMode, True)
    with pytest.raises(SafeMode, match="safemode leave"):
        harness.run(ops.Mkdirs, "/e")
    with pytest.raises(SafeMode):
        harness.run(ops.Reclaim, 10)
    assert queries.stat(harness.namespace, "/d", NOBODY_ASKS).type == "directory"
    harness.run(ops.RenewLease)
    harness.run(ops.SetDuty, ("c1",), "decommissioning")
    harness.run(ops.SetSafeMode, True)
    harness.run(ops.SetSafeMode, False)
    harness.run(ops.Mkdirs, "/e")


def test_a_balance_begins_changes_and_stops() -> None:
    harness = Harness()
    harness.run(ops.SetBalance, 100_000, MIB)
    harness.now_ms = 5_000
    harness.run(ops.SetBalance, 50_000, 2 * MIB)
    mode = harness.namespace.tree.administration.mode(BALANCE)
    assert mode == Mode(1_000, "alice", 50_000, 2 * MIB)
    harness.run(ops.SetBalance, 0)
    assert harness.namespace.tree.administration.mode(BALANCE) is None
    for fields in ((1_000_001, MIB), (-1, MIB), (5, 0)):
        assert isinstance(harness.refusal(ops.SetBalance, *fields), InvalidArgument)


def test_orders_outlive_a_restart() -> None:
    harness = Harness()
    harness.run(ops.SetDuty, ("c1", "c2"), "maintenance", 5)
    harness.run(ops.SetDuty, ("c1",), "in service")
    harness.run(ops.SetSafeMode, True)
    harness.run(ops.SetBalance, 7, MIB)
    rows = [row for row in harness.namespace.drain_rows() if row[2] is not None]
    again = load_namespace(rows)
    assert again.state_hash() == harness.namespace.state_hash()
    assert list(again.tree.administration.duties) == ["c2"]
    assert again.tree.administration.is_read_only
    assert again.tree.administration.mode(SAFE_MODE) == Mode(1_000, "alice")
