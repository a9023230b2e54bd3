"""`pydfsnode cluster members|add-master|remove-master|transfer-leader`: what is asked and shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.members import Member, Members, Transferred
from pydfsnode.errors import UnsafeChange
from tests.unit.cli.conftest import Run

MEMBERS = Members(
    [
        Member("m1", "leader", "voter", "h1:7001", True, 1200, 0, 10, ""),
        Member("m4", "learner", "learner", "h4:7001", False, 20, 1180, 0, "snapshot"),
    ],
    leader="m1", term=4, changing=True, configuration_index=1100,
)  # fmt: skip


@pytest.fixture
def asked(cluster: object, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def answer(name: str, result: object) -> None:
        async def method(_fs: AsyncFileSystem, *arguments: Any, **named: Any) -> Any:
            calls.append((name, *arguments, named))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(AsyncFileSystem, name, method)

    answer("cluster_members", MEMBERS)
    answer("add_master", MEMBERS)
    answer("remove_master", MEMBERS)
    answer("transfer_leader", Transferred("m2", 12))
    return calls


def test_members_are_shown_with_what_they_are(run: Run, asked: list[Any]) -> None:
    shown = run("cluster", "members").out
    assert "leader m1   term 4   members since entry 1,100   the voters are being changed" in shown
    assert "m4      learner  learner     20  1,180  h4:7001  no    snapshot  -" in shown
    assert "0000000a" in shown


def test_json_has_all_fields(run: Run, asked: list[Any]) -> None:
    found = json.loads(run("cluster", "members", "--json").out)
    assert set(found) == {"members", "leader", "term", "changing", "configuration_index"}
    assert found["members"][0] == {
        "id": "m1", "role": "leader", "membership": "voter", "listen": "h1:7001",
        "recently_active": True, "match_index": 1200, "lag": 0, "incarnation": 10,
        "replication": "",
    }  # fmt: skip


def test_adding_names_the_master_and_where_it_is(run: Run, asked: list[Any]) -> None:
    assert "m4 is a voter now" in run("cluster", "add-master", "m4=h4:7001").out
    assert "m4 is a learner now" in run("cluster", "add-master", "m4=h4:7001", "--learner").out
    assert asked == [
        ("add_master", "m4", "h4:7001", {"learner_only": False}),
        ("add_master", "m4", "h4:7001", {"learner_only": True}),
    ]


def test_an_address_that_cannot_be_is_wrong_usage(run: Run, asked: list[Any]) -> None:
    result = run("cluster", "add-master", "m4")
    assert (result.code, asked) == (2, [])
    assert "NAME=HOST:PORT" in result.err


def test_force_asks_first_unless_told_not_to(run: Run, asked: list[Any], monkeypatch: Any) -> None:
    assert "no member any more" in run("cluster", "remove-master", "m4").out
    run("cluster", "remove-master", "m4", "--force", "--yes")
    assert [call[-1] for call in asked] == [{"force": False}, {"force": True}]
    assert run("cluster", "remove-master", "m4", "--force").code != 0  # nobody there to say yes
    assert len(asked) == 2


def test_the_leader_is_named_with_the_gap(run: Run, asked: list[Any]) -> None:
    assert run("cluster", "transfer-leader").out == "m2 leads; for 12 ms nobody did\n"
    found = json.loads(run("cluster", "transfer-leader", "m2", "--json").out)
    assert found == {"leader": "m2", "gap_ms": 12}
    assert [call[1] for call in asked] == ["", "m2"]


def test_a_refusal_is_one_sentence(
    run: Run, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_fs: AsyncFileSystem, *_arguments: Any, **_named: Any) -> Members:
        raise UnsafeChange("m1 is the last voting master")

    monkeypatch.setattr(AsyncFileSystem, "remove_master", refuse)
    result = run("cluster", "remove-master", "m1")
    assert (result.code, result.err) == (1, "pydfsnode: m1 is the last voting master [3017]\n")
