"""The masters that a chunkserver knows: of its configuration, and as the leader told them last.

While no leader is found, those that followers list are tried as well. What the leader told is kept
in `masters.json` of the data directory, so that a chunkserver finds a cluster all of whose
configured masters are gone. It is a hint, not a promise: a file that cannot be read or written
costs a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from pydfsnode.config import Peer, is_address
from pydfsnode.obs.log import get_logger
from pydfsnode.security.files import replace_file
from pydfsnode.security.identity import is_name

FILE_NAME = "masters.json"
LEARNED_MAX = 32  # limits.py candidate
"""Masters that are taken from a leader's list."""

_log = get_logger("chunkserver.masters")


class KnownMasters:
    """Addresses by node name. A master has one name and may have two addresses: both are kept."""

    def __init__(self, configured: Sequence[Peer], directory: Path) -> None:
        self._configured = tuple(configured)
        self._path = directory / FILE_NAME
        self._learned = self._load()
        self._heard: tuple[Peer, ...] = ()

    def addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Every known master; what the leader told before what is configured, then hearsay."""
        found: dict[str, tuple[str, ...]] = {}
        for peer in (*self._learned, *self._configured, *self._heard):
            before = found.get(peer.node_id, ())
            if peer.listen not in before:
                found[peer.node_id] = (*before, peer.listen)
        return found

    def learn(self, listed: Iterable[Peer]) -> bool:
        """Take the leader's list of all masters for the last one; whether it tells anything new."""
        learned = _usable(listed)
        if not learned or (learned == self._learned and not self._heard):
            return False
        self._learned, self._heard = learned, ()
        return True

    def hear(self, listed: Iterable[Peer]) -> bool:
        """Ask who is new in a follower's list, until a leader tells its own; whether anybody is.

        Of a master that is known no other address is taken: a leader's list says where it is.
        """
        known = self.addresses()
        new = [peer for peer in _usable(listed) if peer.node_id not in known]
        room = LEARNED_MAX - len(self._heard)
        self._heard += tuple(new[:room])
        return bool(new[:room])

    def save(self) -> None:
        """Keep the leader's list over restarts; blocking."""
        content = msgspec.json.encode({"masters": [str(peer) for peer in self._learned]})
        try:
            replace_file(self._path, content + b"\n", 0o644)
        except OSError as error:
            _log.warning("the masters cannot be remembered", file=str(self._path), error=str(error))

    def _load(self) -> tuple[Peer, ...]:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("the masters are not remembered", file=str(self._path), error=str(error))
            return ()
        parts = (text.partition("=") for text in kept.get("masters", ()))
        return _usable(Peer(name, listen) for name, _, listen in parts)


def _usable(listed: Iterable[Peer]) -> tuple[Peer, ...]:
    """One address for each name, sorted: only what can be a master, and not too many."""
    found = {
        peer.node_id: peer for peer in listed if is_name(peer.node_id) and is_address(peer.listen)
    }
    return tuple(found[name] for name in sorted(found)[:LEARNED_MAX])
