"""Where chunkservers stand: racks as paths of any depth, and what fails together.

Every prefix of a rack's path is a failure domain: of `/dc1/room2/r7` the data centre, the room and
the rack. Replicas are spread over the widest domains first, then inside each over the next ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydfsnode.ids import rack_parts

_KNOWN_MAX = 10_000
Rack = tuple[str, ...]
"""The names of its domains, from the widest."""
DEFAULT: Rack = rack_parts("")


def parse_rack(text: str) -> Rack:
    """The rack that a chunkserver tells; DEFAULT when it is none: old ones did not check it."""
    try:
        return rack_parts(text)
    except ValueError:
        return DEFAULT


def rack_path(rack: Rack) -> str:
    """As people write it: "/dc1/r7"."""
    return "/" + "/".join(rack)


def domains(rack: Rack) -> list[Rack]:
    """The failure domains that *rack* is in, the widest first, itself last."""
    return [rack[:depth] for depth in range(1, len(rack) + 1)]


def distance(one: Rack, other: Rack) -> int:
    """Steps up from *one* to the closest common domain and down to *other*; 0: the same rack."""
    shared = 0
    for here, there in zip(one, other, strict=False):
        if here != there:
            break
        shared += 1
    return len(one) + len(other) - 2 * shared


def crowding(rack: Rack, taken: Sequence[Rack]) -> tuple[int, ...]:
    """How many of *taken* share each domain of *rack*, the widest first; less is better."""
    found = []
    near: Sequence[Rack] = taken
    for depth in range(len(rack)):
        near = [other for other in near if len(other) > depth and other[depth] == rack[depth]]
        found.append(len(near))
    # A rack that is a domain of others: only those exactly there stand closer still.
    found.append(sum(len(other) == len(rack) for other in near))
    return tuple(found)


def concentration(racks: Sequence[Rack]) -> tuple[int, ...]:
    """Pairs of replicas that share a domain, by level from the widest: the less the better spread.

    Trailing zeros are left out, so that spread over racks of whatever depth compares.
    """
    pairs: list[int] = []
    groups: list[list[Rack]] = [list(racks)]
    depth = 0
    while True:
        groups = [group for group in _split(groups, depth) if len(group) > 1]
        if not groups:
            return tuple(pairs)
        pairs.append(sum(len(group) * (len(group) - 1) // 2 for group in groups))
        depth += 1
        if all(len(rack) < depth for group in groups for rack in group):
            return tuple(pairs)


def _split(groups: Iterable[Sequence[Rack]], depth: int) -> list[list[Rack]]:
    found: list[list[Rack]] = []
    for group in groups:
        by_name: dict[str, list[Rack]] = {}
        for rack in group:
            by_name.setdefault(rack[depth] if len(rack) > depth else "", []).append(rack)
        found.extend(by_name.values())
    return found


def is_better(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether concentration *one* is less than *other*, the widest level deciding first."""
    return one < other


class Spread:
    """How evenly replicas can lie at best, for quick answers that a chunk lies well.

    Args of the constructor:
        racks: of all servers that take replicas.
    """

    def __init__(self, racks: Iterable[Rack]) -> None:
        self._known: dict[tuple[Rack, ...], bool] = {}
        self._widths: list[int] = []
        known = set(racks)
        self.racks = frozenset(known)
        for depth in range(1, max(map(len, known), default=0) + 1):
            self._widths.append(len({rack[:depth] for rack in known}))

    def is_best(self, racks: tuple[Rack, ...]) -> bool:
        """Whether no spread of as many replicas is better; False when that is not certain."""
        known = self._known.get(racks)
        if known is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            known = self._known[racks] = self._is_best(racks)
        return known

    def _is_best(self, racks: tuple[Rack, ...]) -> bool:
        found = concentration(racks)
        best = (_fewest_pairs(len(racks), width) for width in self._widths)
        return all(here <= there for here, there in zip(found, best, strict=False))


def _fewest_pairs(count: int, width: int) -> int:
    each, more = divmod(count, width)
    return more * (each + 1) * each // 2 + (width - more) * each * (each - 1) // 2
