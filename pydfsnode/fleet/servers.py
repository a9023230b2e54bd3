"""Which chunkservers there are, which of them live, how they do, and how much room they have."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydfsnode.errors import Overloaded
from pydfsnode.fleet.bounds import SERVERS_MAX
from pydfsnode.fleet.candidates import Candidates
from pydfsnode.fleet.health import OK, Event, Health, Load, usual_latency_ms
from pydfsnode.fleet.topology import DEFAULT, Rack, Spread, parse_rack

LIVE, DEAD = "live", "dead"
IN_SERVICE, DECOMMISSIONING, DECOMMISSIONED, MAINTENANCE = (
    "in service", "decommissioning", "decommissioned", "maintenance",
)  # fmt: skip
_AVOIDED_SHARE_MAX = 0.5
"""When more of the fleet than this does badly, the trouble is elsewhere: nobody is avoided."""
_WORK_STEP = 4
"""Streams that make a difference to readers: the figure is as old as the last heartbeat."""

GOOD, LESS_GOOD, LAST_RESORT = 0, 1, 2
"""Classes of candidates for new replicas: in service and well; in service; those that leave."""


@dataclass(slots=True)
class Server:
    """A chunkserver as its last heartbeat told. `heard_ms`: when, on the monotonic clock.

    `incarnation` is random per start of its process; `admin_state` is what operators ordered.
    `assigned` counts replicas placed there that its heartbeats do not show yet, and
    `assigned_bytes` their sizes: of the time since the last heartbeat and of the one before.
    """

    node_id: str
    listen: str
    rack: str
    used_bytes: int
    free_bytes: int
    chunks: int
    streams: int
    incarnation: int
    heard_ms: int
    state: str = LIVE
    admin_state: str = IN_SERVICE
    place: Rack = DEFAULT
    health: Health = field(default_factory=Health)
    assigned: tuple[int, int] = (0, 0)
    assigned_bytes: tuple[int, int] = (0, 0)
    is_remembered: bool = False
    """Whether nothing but name and address is known, from before this master started."""

    @property
    def host(self) -> str:
        """The host of `listen`."""
        return self.listen.rpartition(":")[0]

    @property
    def room_bytes(self) -> int:
        """Free bytes that nothing was placed on yet; its disk's reserve is not among them."""
        return self.free_bytes - sum(self.assigned_bytes)

    @property
    def weight(self) -> float:
        """How gladly a replica is placed here: by room, health and work already there."""
        work = self.streams + self.health.load.queued + sum(self.assigned)
        return max(self.room_bytes, 1) * max(self.health.score, 0.01) / (1 + work)

    def assign(self, size: int) -> None:
        """A replica of *size* bytes was placed here."""
        self.assigned = (self.assigned[0], self.assigned[1] + 1)
        self.assigned_bytes = (self.assigned_bytes[0], self.assigned_bytes[1] + size)


class ServerTable:
    """All chunkservers heard of since the start, and those `remember` tells of."""

    def __init__(self, dead_after_ms: int, servers_max: int = SERVERS_MAX) -> None:
        self.dead_after_ms = dead_after_ms
        self._servers_max = servers_max
        self._servers: dict[str, Server] = {}
        self._names: list[str] | None = []
        self._is_lenient = False
        self._by_host: dict[str, dict[str, Server]] = {}
        self.candidates: tuple[Candidates[Server], ...] = tuple(Candidates() for _ in range(3))
        """The live servers by class: GOOD, LESS_GOOD, LAST_RESORT."""

    def heartbeat(
        self, node_id: str, now_ms: int, listen: str, rack: str, used_bytes: int, free_bytes: int,
        chunks: int, streams: int, incarnation: int, load: Load | None = None,
    ) -> bool:  # fmt: skip
        """Take a heartbeat; returns whether the server was not live before.

        Raises:
            Overloaded: a new server past SERVERS_MAX.
        """
        server = self._servers.get(node_id)
        if server is None and self._is_full():
            raise Overloaded(
                f"{len(self._servers)} chunkservers are known, the most there can be",
                retry_after_ms=self.dead_after_ms,
            )
        is_news = server is None or server.state == DEAD
        if server is None:
            server = Server(
                node_id, listen, rack, used_bytes, free_bytes, chunks, streams, incarnation, now_ms
            )
            self._servers[node_id] = server
            self._names = None
        elif is_news and not server.is_remembered:
            server.health.returned(now_ms)
        server.is_remembered = False
        if is_news or (server.listen, server.rack) != (listen, rack):
            self._withdraw(server)
            server.listen, server.rack, server.place = listen, rack, parse_rack(rack)
            server.state = LIVE
            self._offer(server)
        server.used_bytes, server.free_bytes = used_bytes, free_bytes
        server.chunks, server.streams, server.incarnation = chunks, streams, incarnation
        server.heard_ms = now_ms
        server.assigned = (server.assigned[1], 0)
        server.assigned_bytes = (server.assigned_bytes[1], 0)
        server.health.heard(now_ms, load or Load(), incarnation, used_bytes, free_bytes)
        return is_news

    def remember(self, node_id: str, since_ms: int, listen: str, rack: str) -> bool:
        """A server from before the start was not heard since *since_ms*: it is dead.

        Returns:
            False when it was heard after all, or when the table is full.
        """
        if node_id in self._servers or len(self._servers) >= self._servers_max:
            return False
        self._servers[node_id] = Server(
            node_id, listen, rack, 0, 0, 0, 0, 0, since_ms,
            state=DEAD, place=parse_rack(rack), is_remembered=True,
        )  # fmt: skip
        self._names = None
        return True

    def _is_full(self) -> bool:
        """Whether nobody new fits in; who is only remembered makes room."""
        if len(self._servers) < self._servers_max:
            return False
        remembered = next((s.node_id for s in self._servers.values() if s.is_remembered), None)
        if remembered is None:
            return True
        self.forget(remembered)
        return False

    def expire(self, now_ms: int) -> list[str]:
        """Declare dead who was silent for `dead_after_ms`; returns who just died, in name order."""
        died = []
        for server in self._servers.values():
            if server.state == LIVE and now_ms - server.heard_ms >= self.dead_after_ms:
                server.state = DEAD
                self._withdraw(server)
                died.append(server.node_id)
        return sorted(died)

    def review(self, now_ms: int) -> list[tuple[str, str]]:
        """Judge the health of all live servers; returns (who, condition) of changes, by name."""
        live = self.live()
        write_ms = usual_latency_ms(server.health.write_ms for server in live)
        read_ms = usual_latency_ms(server.health.read_ms for server in live)
        changed, poor = [], 0
        for server in live:
            before = server.health.condition
            after = server.health.review(now_ms, write_ms, read_ms, self.dead_after_ms)
            poor += after != OK
            if after != before:
                changed.append((server.node_id, after))
        was_lenient, self._is_lenient = self._is_lenient, poor > _AVOIDED_SHARE_MAX * len(live)
        again = live if was_lenient != self._is_lenient else map(self.get, dict(changed))
        for server in filter(None, again):
            self._offer(server)
        return changed

    def note(self, node_id: str, event: Event, now_ms: int, count: int = 1) -> None:
        """Something went wrong on *node_id*, *count* times."""
        server = self._servers.get(node_id)
        if server is not None and count:
            server.health.note(event, now_ms, count)

    def write_failed(self, node_id: str, now_ms: int) -> None:
        """Somebody could not write to *node_id*."""
        server = self._servers.get(node_id)
        if server is not None:
            server.health.write_failed(now_ms)

    def set_admin_state(self, node_id: str, admin_state: str) -> None:
        """What operators ordered of *node_id*; nothing when it was never heard of."""
        server = self._servers.get(node_id)
        if server is not None:
            server.admin_state = admin_state
            if server.state == LIVE:
                self._offer(server)

    def spread(self) -> Spread:
        """How well replicas can be spread over the servers that do well."""
        return self.candidates[GOOD].spread()

    def live(self) -> list[Server]:
        """The live servers in name order."""
        return [server for server in self.all() if server.state == LIVE]

    def placeable(self) -> list[Server]:
        """The live servers that are in service, in name order: new replicas may go there."""
        return [server for server in self.live() if server.admin_state == IN_SERVICE]

    def all(self) -> list[Server]:
        """Every known server in name order."""
        if self._names is None:
            self._names = sorted(self._servers)
        return [self._servers[name] for name in self._names]

    def at_host(self, host: str) -> list[Server]:
        """The live servers of one host in name order."""
        found = self._by_host.get(host, {})
        return [found[name] for name in sorted(found)]

    def get(self, node_id: str) -> Server | None:
        """The server called *node_id*."""
        return self._servers.get(node_id)

    def place_of(self, node_id: str) -> Rack:
        """The rack of *node_id*, DEFAULT when it is not known."""
        server = self._servers.get(node_id)
        return DEFAULT if server is None else server.place

    def for_readers(self, node_ids: list[str], turn: int) -> list[str]:
        """*node_ids* in the order to ask them: who does well, then who has less to do.

        Args:
            turn: another number for another chunk, so that equals take turns at being the first.
        """
        start = turn % len(node_ids) if node_ids else 0
        return sorted(node_ids[start:] + node_ids[:start], key=self._reluctance)

    def _reluctance(self, node_id: str) -> tuple[bool, bool, int]:
        server = self._servers.get(node_id)
        if server is None:
            return (True, True, 0)
        work = server.streams + server.health.load.queued
        return (False, server.health.condition != OK, work // _WORK_STEP)

    def does_badly(self, node_id: str) -> bool:
        """Whether *node_id* should be avoided while others can do the same; also when unknown."""
        server = self._servers.get(node_id)
        return server is None or server.health.condition != OK

    def listen_of(self, node_id: str) -> str:
        """Where *node_id* listens, "" when it is not known."""
        server = self._servers.get(node_id)
        return "" if server is None else server.listen

    def is_live(self, node_id: str) -> bool:
        """Whether *node_id* is known and live."""
        server = self._servers.get(node_id)
        return server is not None and server.state == LIVE

    def forget(self, node_id: str) -> None:
        """Drop a server that will not come back."""
        server = self._servers.pop(node_id, None)
        if server is not None:
            self._withdraw(server)
            self._names = None

    def _offer(self, server: Server) -> None:
        """File *server*, which lives, under the class that it has now."""
        wanted: int | None
        if server.admin_state == DECOMMISSIONED:
            wanted = None  # operators were told that it may be stopped
        elif server.admin_state != IN_SERVICE:
            wanted = LAST_RESORT
        else:
            poor = server.health.condition != OK and not self._is_lenient
            wanted = LESS_GOOD if poor else GOOD
        for number, candidates in enumerate(self.candidates):
            if number == wanted:
                candidates.add(server.node_id, server.place, server)
            else:
                candidates.remove(server.node_id)
        self._by_host.setdefault(server.host, {})[server.node_id] = server

    def _withdraw(self, server: Server) -> None:
        for candidates in self.candidates:
            candidates.remove(server.node_id)
        there = self._by_host.get(server.host, {})
        there.pop(server.node_id, None)
        if not there:
            self._by_host.pop(server.host, None)
