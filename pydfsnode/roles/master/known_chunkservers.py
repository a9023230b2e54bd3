"""The chunkservers that a master knows over its restarts: one that stays away then is missed.

`chunkservers.json` in the data directory names them: no file names, so it need not be sealed. It is
a hint, not a promise: a file that cannot be read or written costs a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from pydfsnode.config import is_address
from pydfsnode.fleet.bounds import SERVERS_MAX
from pydfsnode.obs.log import get_logger
from pydfsnode.security.files import replace_file
from pydfsnode.security.identity import is_name

FILE_NAME = "chunkservers.json"

_log = get_logger("roles.master.known_chunkservers")


class KnownServer(NamedTuple):
    """One chunkserver, as its last heartbeat told."""

    node_id: str
    listen: str
    rack: str


class KnownChunkservers:
    """The list of one master; *directory* is its data directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._servers = self._load()

    def all(self) -> tuple[KnownServer, ...]:
        """All of them, by name."""
        return self._servers

    def set(self, servers: Iterable[KnownServer]) -> bool:
        """Know *servers* and nobody else from now on; whether that changes anything."""
        known = _usable(servers)
        if known == self._servers:
            return False
        self._servers = known
        return True

    def save(self) -> None:
        """Keep them over restarts; blocking."""
        content = msgspec.json.encode({"chunkservers": [s._asdict() for s in self._servers]})
        try:
            replace_file(self._path, content + b"\n", 0o644)
        except OSError as error:
            _log.warning(
                "the chunkservers cannot be remembered", file=str(self._path), error=str(error)
            )

    def _load(self) -> tuple[KnownServer, ...]:
        try:
            kept = msgspec.json.decode(
                self._path.read_bytes(), type=dict[str, list[dict[str, str]]]
            )
            return _usable(KnownServer(**each) for each in kept.get("chunkservers", ()))
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
            _log.warning(
                "the chunkservers are not remembered", file=str(self._path), error=str(error)
            )
            return ()


def _usable(servers: Iterable[KnownServer]) -> tuple[KnownServer, ...]:
    """By name, only what can be a chunkserver, and not too many."""
    found = {s.node_id: s for s in servers if is_name(s.node_id) and is_address(s.listen)}
    return tuple(found[name] for name in sorted(found)[:SERVERS_MAX])
