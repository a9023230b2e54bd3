"""The table of replicas in dictionaries. What walks the table answers in any order."""

from __future__ import annotations

Replica = tuple[int, int]


class ReplicaTable:
    def __init__(self) -> None:
        self.live: list[bool] = []
        self.wishes: dict[int, tuple[int, int, int]] = {}
        self.held: dict[int, dict[int, Replica]] = {}  # chunk -> server -> replica
        self.levels: dict[int, int] = {}
        self.listed: set[tuple[int, int]] = set()  # (server, chunk)

    def add_server(self) -> int:
        self.live.append(False)
        return len(self.live) - 1

    def set_live(self, server: int, is_live: bool) -> None:
        self.live[server] = is_live

    def held_count(self, server: int) -> int:
        return len(self.held_by(server))

    def want(self, chunk_id: int, version: int, length: int, replication: int) -> None:
        self.wishes[chunk_id] = (version, length, replication)

    def forget(self, chunk_id: int) -> None:
        self.wishes.pop(chunk_id, None)

    def wanted(self, chunk_id: int) -> tuple[int, int, int] | None:
        return self.wishes.get(chunk_id)

    def add(self, chunk_id: int, server: int, version: int, length: int) -> bool:
        self.listed.add((server, chunk_id))
        before = self.replica(chunk_id, server)
        self.held.setdefault(chunk_id, {})[server] = (version, length)
        return before != (version, length)

    def remove(self, chunk_id: int, server: int) -> bool:
        self.listed.discard((server, chunk_id))
        return self.held.get(chunk_id, {}).pop(server, None) is not None

    def replica(self, chunk_id: int, server: int) -> Replica | None:
        return self.held.get(chunk_id, {}).get(server)

    def holders(self, chunk_id: int) -> list[int]:
        return list(self.held.get(chunk_id, {}))

    def standing(self, chunk_id: int) -> tuple[list[int], list[int]]:
        wanted = self.wishes.get(chunk_id)
        live = [server for server in self.holders(chunk_id) if self.live[server]]
        if wanted is None:
            return [], []
        good = [server for server in live if self.replica(chunk_id, server) == wanted[:2]]
        return good, [server for server in live if server not in good]

    def tally(self, chunk_id: int) -> tuple[int, int, int] | None:
        wanted = self.wishes.get(chunk_id)
        good, others = self.standing(chunk_id)
        return None if wanted is None else (wanted[2], len(good), len(others))

    def level(self, chunk_id: int) -> int:
        return self.levels.get(chunk_id, -1)

    def set_level(self, chunk_id: int, level: int) -> int:
        before = self.level(chunk_id)
        if level == -1:
            self.levels.pop(chunk_id, None)
        elif before == -1 and chunk_id not in self.wishes and not self.holders(chunk_id):
            raise KeyError(chunk_id)
        else:
            self.levels[chunk_id] = level
        return before

    def at_level(self, level: int) -> set[int]:
        return {chunk_id for chunk_id, found in self.levels.items() if found == level}

    def held_by(self, server: int) -> set[int]:
        return {chunk_id for chunk_id, replicas in self.held.items() if server in replicas}

    def begin_listing(self, server: int) -> None:
        self.listed = {entry for entry in self.listed if entry[0] != server}

    def unlisted(self, server: int) -> set[int]:
        return {c for c in self.held_by(server) if (server, c) not in self.listed}

    def __len__(self) -> int:
        held = {chunk_id for chunk_id, replicas in self.held.items() if replicas}
        return len(self.wishes.keys() | self.levels.keys() | held)
