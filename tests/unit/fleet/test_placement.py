"""Where new replicas go."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet import placement
from pydfsnode.fleet.health import Load
from pydfsnode.fleet.placement import Wish, choose_targets
from pydfsnode.fleet.servers import DECOMMISSIONED, DECOMMISSIONING, IN_SERVICE, ServerTable

GIB = 1 << 30
DEAD_AFTER_MS = 10_000


class Fleet(ServerTable):
    """Servers by name, with what a test says of each."""

    def __init__(self) -> None:
        super().__init__(DEAD_AFTER_MS)

    def add(
        self, name: str, rack: str = "", free_bytes: int = GIB, streams: int = 0, host: str = "h",
        load: Load | None = None,
    ) -> None:  # fmt: skip
        self.heartbeat(name, 0, f"{host}:1", rack, GIB, free_bytes, 0, streams, 1, load)

    def make_bad(self, *names: str) -> None:
        for name in names:
            self.note(name, "disk", 0, 100)
        self.review(0)


def racks_of(servers: ServerTable, chosen: list[str]) -> list[str]:
    return ["/".join(servers.place_of(name)) for name in chosen]


def fleet(racks: int, per_rack: int, prefix: str = "/r") -> Fleet:
    found = Fleet()
    for rack in range(racks):
        for n in range(per_rack):
            found.add(f"c{rack}-{n}", f"{prefix}{rack}", free_bytes=1 << 50)
    return found


def test_targets_are_distinct_and_as_many_as_asked_for() -> None:
    servers, rng = fleet(1, 8), random.Random(1)
    for _ in range(200):
        chosen = choose_targets(servers, Wish(3), rng.random)
        assert len(chosen) == len(set(chosen)) == 3


def test_fewer_servers_than_asked_for_gives_all_there_are() -> None:
    servers = fleet(1, 2)
    assert sorted(choose_targets(servers, Wish(3), random.Random(1).random)) == ["c0-0", "c0-1"]


@pytest.mark.parametrize("others", [0, 100])
def test_excluded_refused_and_full_servers_are_never_chosen(others: int) -> None:
    servers = Fleet()
    for name, free_bytes in (("a", GIB), ("b", 99), ("c", 100), ("d", GIB), ("e", GIB)):
        servers.add(name, free_bytes=free_bytes)
    for n in range(others):
        servers.add(f"full{n}", free_bytes=99)
    for seed in range(50):
        for name in ("c", "d"):
            servers.add(name, free_bytes=100)
            servers.add(name, free_bytes=100)  # nothing counts as assigned from the second on
        wish = Wish(4, {"a"}, 100, is_refused=lambda name: name == "e")
        assert sorted(choose_targets(servers, wish, random.Random(seed).random)) == ["c", "d"]


def test_what_was_placed_takes_room_until_heartbeats_show_it() -> None:
    servers = Fleet()
    servers.add("a", free_bytes=250)
    wish, pick = Wish(1, bytes_needed=100), random.Random(1).random
    assert choose_targets(servers, wish, pick) == choose_targets(servers, wish, pick) == ["a"]
    with pytest.raises(NoChunkservers):
        choose_targets(servers, wish, pick)
    servers.add("a", free_bytes=250)  # a heartbeat that was on its way before
    with pytest.raises(NoChunkservers):
        choose_targets(servers, wish, pick)
    servers.add("a", free_bytes=150)
    assert choose_targets(servers, wish, pick) == ["a"]


@pytest.mark.parametrize("point", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("count", [2, 200])
def test_any_random_number_picks_somebody(point: float, count: int) -> None:
    servers = fleet(2, count // 2)
    chosen = choose_targets(servers, Wish(2), lambda: point)
    assert sorted(racks_of(servers, chosen)) == ["r0", "r1"]


def test_the_share_of_a_server_follows_its_free_space() -> None:
    servers, rng, first = Fleet(), random.Random(3), Counter[str]()
    for _ in range(5000):
        servers.add("small", free_bytes=GIB)
        servers.add("large", free_bytes=9 * GIB)
        first.update(choose_targets(servers, Wish(1), rng.random))
    assert 0.80 < first["large"] / 5000 < 0.94


def test_who_has_much_to_do_gets_less() -> None:
    servers, rng, first = Fleet(), random.Random(3), Counter[str]()
    for _ in range(2000):
        servers.add("idle")
        servers.add("busy", streams=5, load=Load(queued=10))
        first.update(choose_targets(servers, Wish(1), rng.random))
    assert first["busy"] < 2000 * 0.2


def test_between_two_heartbeats_not_all_goes_to_one_server() -> None:
    servers, rng = fleet(1, 10), random.Random(5)
    placed = Counter(choose_targets(servers, Wish(1), rng.random)[0] for _ in range(200))
    assert max(placed.values()) < 2 * min(placed.values()), placed


@pytest.mark.parametrize(("racks", "per_rack"), [(3, 1), (3, 2), (5, 30), (100, 3)])
def test_three_replicas_lie_in_three_racks(racks: int, per_rack: int) -> None:
    servers, rng = fleet(racks, per_rack), random.Random(racks)
    for _ in range(100):
        chosen = choose_targets(servers, Wish(3), rng.random)
        assert len(set(racks_of(servers, chosen))) == 3


@pytest.mark.parametrize("per_rack", [3, 50])
def test_in_two_racks_replicas_are_spread_evenly(per_rack: int) -> None:
    servers, rng = fleet(2, per_rack), random.Random(2)
    for count, spread in ((2, [1, 1]), (3, [1, 2]), (4, [2, 2]), (5, [2, 3])):
        for _ in range(30):
            chosen = choose_targets(servers, Wish(count), rng.random)
            assert sorted(Counter(racks_of(servers, chosen)).values()) == spread


@pytest.mark.parametrize("per_rack", [2, 40])
def test_the_widest_domain_decides_first(per_rack: int) -> None:
    servers, rng = Fleet(), random.Random(4)
    for place in ("dc1/a/r1", "dc1/a/r2", "dc1/b/r1", "dc2/a/r1"):
        for n in range(per_rack):
            servers.add(f"{place.replace('/', '-')}-{n}", f"/{place}")
    for _ in range(50):
        racks = racks_of(servers, choose_targets(servers, Wish(3), rng.random))
        assert len({rack[:3] for rack in racks}) == 2
        if racks.count("dc2/a/r1") == 1:
            assert len({rack[:5] for rack in racks if rack.startswith("dc1")}) == 2


def test_a_small_domain_among_large_ones_is_found() -> None:
    servers, rng = fleet(1, 500, "/large"), random.Random(6)
    servers.add("lonely", "/small")
    assert "lonely" in choose_targets(servers, Wish(2), rng.random)


def test_replicas_that_are_there_count() -> None:
    servers, rng = fleet(3, 30), random.Random(7)
    for _ in range(50):
        wish = Wish(1, taken=(("r0",), ("r2",)))
        assert racks_of(servers, choose_targets(servers, wish, rng.random)) == ["r1"]


def test_a_rack_whose_only_server_is_taken_does_not_keep_others_from_being_found() -> None:
    servers, rng = fleet(1, 100), random.Random(8)
    servers.add("lonely", "/small")
    wish = Wish(2, exclude={"lonely", "c0-0", "c0-1"}, taken=(("small",), ("r0",), ("r0",)))
    assert len(choose_targets(servers, wish, rng.random)) == 2


def test_the_first_replica_is_at_the_writers_host() -> None:
    servers, rng = fleet(4, 20), random.Random(9)
    servers.add("local1", "/r0", host="10.0.0.7")
    servers.add("local2", "/r0", host="10.0.0.7")
    first = {choose_targets(servers, Wish(3, host="10.0.0.7"), rng.random)[0] for _ in range(30)}
    assert first == {"local1", "local2"}
    servers.make_bad("local1")
    wish = Wish(3, {"local2"}, host="10.0.0.7")
    assert all(choose_targets(servers, wish, rng.random)[0] != "local1" for _ in range(30))


@pytest.mark.parametrize("per_rack", [3, 60])
def test_who_does_badly_is_taken_only_when_nobody_else_is_left(per_rack: int) -> None:
    servers, rng = fleet(3, per_rack), random.Random(10)
    servers.make_bad("c1-0")
    for _ in range(60):
        assert "c1-0" not in choose_targets(servers, Wish(3), rng.random)
    everybody = choose_targets(servers, Wish(3 * per_rack), rng.random)
    assert everybody[-1] == "c1-0"


def test_rather_a_bad_server_than_all_replicas_in_one_rack() -> None:
    servers, rng = fleet(2, 3), random.Random(11)
    servers.make_bad("c1-0", "c1-1")
    servers.add("c1-2", "/r0")
    for _ in range(30):
        chosen = choose_targets(servers, Wish(2), rng.random)
        assert sorted(set(racks_of(servers, chosen))) == ["r0", "r1"]


def test_when_most_do_badly_nobody_is_avoided() -> None:
    servers, rng = fleet(1, 5), random.Random(12)
    servers.make_bad("c0-0", "c0-1", "c0-2")
    chosen = {name for _ in range(60) for name in choose_targets(servers, Wish(2), rng.random)}
    assert len(chosen) == 5


def test_who_leaves_is_taken_when_there_is_nobody_else_at_all() -> None:
    servers, rng = fleet(1, 2), random.Random(13)
    servers.set_admin_state("c0-0", DECOMMISSIONING)
    assert choose_targets(servers, Wish(2), rng.random) == ["c0-1"]
    servers.set_admin_state("c0-1", DECOMMISSIONING)
    assert len(choose_targets(servers, Wish(1), rng.random)) == 1
    with pytest.raises(NoChunkservers):
        choose_targets(servers, Wish(1, last_resort=False), rng.random)


def test_who_may_be_stopped_gets_nothing_even_when_there_is_nobody_else() -> None:
    servers, rng = fleet(1, 2), random.Random(13)
    servers.set_admin_state("c0-0", DECOMMISSIONED)
    servers.set_admin_state("c0-1", DECOMMISSIONING)
    assert choose_targets(servers, Wish(2), rng.random) == ["c0-1"]
    servers.set_admin_state("c0-1", DECOMMISSIONED)
    with pytest.raises(NoChunkservers):
        choose_targets(servers, Wish(1), rng.random)
    servers.set_admin_state("c0-1", IN_SERVICE)
    assert choose_targets(servers, Wish(2), rng.random) == ["c0-1"]


def test_the_same_numbers_choose_the_same_servers() -> None:
    def choices(seed: int) -> list[list[str]]:
        servers, rng = fleet(7, 40), random.Random(seed)
        return [choose_targets(servers, Wish(3), rng.random) for _ in range(100)]

    assert choices(1) == choices(1) != choices(2)


def test_of_thousands_of_servers_a_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    servers, rng, looks = fleet(40, 100), random.Random(14), Counter[str]()
    may_take = placement._Placing._may_take

    def counted(placing: placement._Placing, server: placement.Server) -> bool:
        looks["all"] += 1
        return may_take(placing, server)

    monkeypatch.setattr(placement._Placing, "_may_take", counted)
    for _ in range(100):
        choose_targets(servers, Wish(3), rng.random)
    assert looks["all"] < 100 * 3 * 4


def test_nobody_is_an_error_that_names_what_was_needed() -> None:
    servers = Fleet()
    servers.add("a")
    servers.add("c", free_bytes=1)
    with pytest.raises(NoChunkservers, match="123 bytes free beside a, b") as caught:
        choose_targets(servers, Wish(1, ["b", "a"], 123), lambda: 0.0)
    assert caught.value.fields["retry_after_ms"] == 1000
    with pytest.raises(NoChunkservers):
        choose_targets(Fleet(), Wish(1), lambda: 0.0)
