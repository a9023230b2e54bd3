"""Where new replicas go."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.placement import choose_targets
from pydfsnode.fleet.servers import Server

GIB = 1 << 30


def server(node_id: str, free_bytes: int = GIB) -> Server:
    return Server(node_id, "h:1", "r", 0, free_bytes, 0, 0, 1, 0)


def test_targets_are_distinct_and_as_many_as_asked_for() -> None:
    servers = [server(f"c{n}") for n in range(8)]
    rng = random.Random(1)
    for _ in range(200):
        chosen = choose_targets(servers, 3, (), 0, rng.random)
        assert len(chosen) == len(set(chosen)) == 3


def test_fewer_servers_than_asked_for_gives_all_there_are() -> None:
    chosen = choose_targets([server("a"), server("b")], 3, (), 0, random.Random(1).random)
    assert sorted(chosen) == ["a", "b"]


def test_excluded_and_full_servers_are_never_chosen() -> None:
    servers = [server("a"), server("b", 99), server("c", 100), server("d")]
    for seed in range(50):
        rng = random.Random(seed)
        assert sorted(choose_targets(servers, 4, {"a"}, 100, rng.random)) == ["c", "d"]


@pytest.mark.parametrize("point", [0.0, 0.5, 1 - 2**-53])
def test_any_random_number_picks_somebody(point: float) -> None:
    chosen = choose_targets([server("a", 1), server("b", 2**62)], 2, (), 0, lambda: point)
    assert sorted(chosen) == ["a", "b"]


def test_the_share_of_a_server_follows_its_free_space() -> None:
    servers = [server("small", GIB), server("large", 9 * GIB)]
    rng = random.Random(3)
    first = Counter(choose_targets(servers, 1, (), 0, rng.random)[0] for _ in range(5000))
    assert 0.86 < first["large"] / 5000 < 0.94


def test_nobody_is_an_error_that_names_what_was_needed() -> None:
    with pytest.raises(NoChunkservers, match="123 bytes free beside a, b") as caught:
        choose_targets([server("a"), server("c", 1)], 1, ["b", "a"], 123, lambda: 0.0)
    assert caught.value.fields["retry_after_ms"] == 1000
    with pytest.raises(NoChunkservers):
        choose_targets([server("a", 0)], 1, (), 0, lambda: 0.0)
