"""Masters begin a cluster together or not at all, and a lost disk does not come back by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pydfsnode.config import Peer
from pydfsnode.errors import ConfigError, Unavailable
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master.bootstrap import Formation, Wait, decide
from pydfsnode.rpc.raft_hello import Hello

PEERS = [Peer(f"m{n}", f"h{n}:7001") for n in (1, 2, 3)]
NAMES = ("m1", "m2", "m3")
IDS = ("m1#0000000a", "m2#0000000b", "m3#0000000c")
NEW = [Hello(n, i, masters=NAMES) for n, i in zip(NAMES, (10, 11, 12), strict=True)]
LISTEN = ("h1:7001", "h2:7001", "h3:7001")
BEGUN = Configuration(voters=IDS, addresses=dict(zip(IDS, LISTEN, strict=True)))


def formed(name: str, incarnation: int, *members: str) -> Hello:
    return Hello(name, incarnation, True, members)


def test_all_masters_get_to_the_same_members() -> None:
    for own in range(3):
        others = [hello for n, hello in enumerate(NEW) if n != own]
        for answers in (others, others[::-1]):
            assert decide(IDS[own], PEERS, answers, ()) == BEGUN


def test_a_single_master_begins_alone() -> None:
    assert decide(IDS[0], PEERS[:1], (), ()) == Configuration(
        voters=IDS[:1], addresses={IDS[0]: "h1:7001"}
    )


def test_one_that_is_not_heard_is_waited_for_and_named() -> None:
    decision = decide(IDS[0], PEERS, NEW[1:2], ["m3=h3:7001: refused"])
    assert isinstance(decision, Wait)
    assert "m3=h3:7001: refused" in decision.reason


@pytest.mark.parametrize("masters", [("m1", "m2"), ()])
def test_others_that_would_begin_with_others_are_waited_for(masters: tuple[str, ...]) -> None:
    decision = decide(IDS[0], PEERS, [NEW[1], Hello("m3", 12, masters=masters)], ())
    assert isinstance(decision, Wait)
    assert "m3 would begin" in decision.reason


def test_a_cluster_begun_with_this_very_directory_is_joined_though_one_is_away() -> None:
    assert decide(IDS[0], PEERS, [formed("m2", 11, *IDS)], ["m3: away"]) == BEGUN


def test_a_new_disk_under_an_old_name_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="remove-master m1") as caught:  # trap E6
        decide("m1#000000ff", PEERS, [formed("m2", 11, *IDS)], ())
    assert "m1#0000000a" in caught.value.message


def test_a_directory_begun_before_incarnations_keeps_its_name_too() -> None:
    with pytest.raises(ConfigError, match="another data directory"):
        decide("m1#000000ff", PEERS, [formed("m2", 0, "m1", "m2", "m3")], ())


def test_who_is_not_among_the_members_waits_to_be_added() -> None:
    decision = decide(IDS[0], PEERS, [formed("m2", 11, *IDS[1:])], ())
    assert isinstance(decision, Wait)
    assert "add-master m1" in decision.reason


def test_a_member_of_a_cluster_that_has_changed_since_waits_for_its_log() -> None:
    decision = decide(IDS[0], PEERS, [formed("m2", 11, *IDS, "m4#0000000d")], ())
    assert isinstance(decision, Wait)
    assert "waits for the log" in decision.reason


class World:
    """What the others answer, and what was begun."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, Hello | None]] = []
        self.begun: list[Configuration] = []
        self.member = False
        self.when_asked: Callable[[], None] = lambda: None

    async def ask(self, peer: Peer) -> Hello:
        self.when_asked()
        now = self.rounds[0]
        hello = now.pop(peer.node_id)
        if not now and len(self.rounds) > 1:
            self.rounds.pop(0)
        if hello is None:
            raise Unavailable(f"{peer.listen}: away")
        return hello

    async def begin(self, configuration: Configuration) -> None:
        self.begun.append(configuration)

    def formation(self, *, may_begin: bool = True, peers: list[Peer] | None = None) -> Formation:
        return Formation(
            IDS[0], PEERS if peers is None else peers, may_begin, self.ask, self.begin,
            lambda: self.member, chance=lambda: 0.0,
        )  # fmt: skip


async def test_it_asks_again_until_all_answer() -> None:
    world = World()
    world.rounds = [{"m2": None, "m3": NEW[2]}, {"m2": NEW[1], "m3": None},
                    {"m2": NEW[1], "m3": NEW[2]}]  # fmt: skip
    formation = world.formation()
    await formation.run()
    assert world.begun == [BEGUN]
    assert formation.reason == ""


async def test_it_ends_when_a_leader_made_it_a_member_meanwhile() -> None:
    world = World()
    world.rounds = [{"m2": NEW[1], "m3": NEW[2]}]

    def added() -> None:
        world.member = True

    world.when_asked = added
    await world.formation().run()
    assert world.begun == []


async def test_without_bootstrap_nothing_is_begun_and_a_taken_name_is_told() -> None:
    world = World()
    world.rounds = [
        {"m2": NEW[1], "m3": NEW[2]},
        {"m2": formed("m2", 11, "m1#000000ff", *IDS[1:]), "m3": None},
        {"m2": formed("m2", 11, *IDS[1:]), "m3": None},
    ]
    formation = world.formation(may_begin=False)
    reasons: list[str] = []

    def look() -> None:
        if not reasons or reasons[-1] != formation.reason:
            reasons.append(formation.reason)
        world.member = len(world.rounds) == 1

    world.when_asked = look
    await formation.run()
    assert world.begun == []
    assert "waits to be added" in reasons[0]
    assert "remove-master m1" in reasons[1]


async def test_a_new_disk_ends_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.rounds = [{"m2": formed("m2", 11, "m1", "m2", "m3"), "m3": None}]
    with pytest.raises(ConfigError):
        await world.formation().run()
