"""The network of a scripted cluster: messages are under way until a command lets them arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydfsnode._fast import encode_entry
from pydfsnode.raft import messages
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.messages import Message
from pydfsnode.raft.types import KIND_CONFIGURATION, KIND_OPERATION, Timing
from tests.support.raft_script_node import ScriptNode
from tests.support.raft_script_text import message_name, message_text

DELIVERIES_MAX = 5_000


@dataclass
class Packet:
    """A message under way."""

    source: str
    to: str
    message: Message


class Arguments:
    """Words of a command: those with `=` by name, the others in order."""

    def __init__(self, words: list[str]) -> None:
        self.words = [word for word in words if "=" not in word]
        self.named = dict(word.split("=", 1) for word in words if "=" in word)

    def number(self, name: str, default: int) -> int:
        return int(self.named.get(name, default))

    def members(self, name: str) -> tuple[str, ...]:
        return tuple(found for found in self.named.get(name, "").split(",") if found)


class ScriptNetwork:
    """Members and what is under way between them; `lines` is what they did."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.nodes: dict[str, ScriptNode] = {}
        self.network: list[Packet] = []
        self.held: list[Packet] = []
        self.holds: list[Callable[[Packet], bool]] = []
        self.cut: set[tuple[str, str]] = set()
        self.timing = Timing(60, 500, 0.1)
        self.lines: list[str] = []
        self.shown: set[str] = set()
        self.leaders: dict[int, str] = {}

    def say(self, line: str) -> None:
        self.lines.append(line)

    def _send(self, source: str, to: str, message: Message) -> None:
        packet = Packet(source, to, message)
        lost = (source, to) in self.cut or to not in self.nodes or not self.nodes[to].alive
        text = f"  {source}->{to} {message_text(message, self.shown)}"
        self.say(text + " (lost)" * lost)
        if lost:
            return
        if any(holds(packet) for holds in self.holds):
            self.held.append(packet)
        else:
            self.network.append(packet)

    def _deliver(self, packet: Packet, injected: bool = False) -> None:
        node = self.nodes.get(packet.to)
        if node is None or not node.alive:
            return
        if (packet.source, packet.to) in self.cut and not injected:
            return
        self.say(f"{packet.to} takes {message_name(packet.message)} of {packet.source}")
        node.take(self.now_ms, packet.message)

    def _ready(self) -> list[Packet]:
        return [p for p in self.network if not (p.to in self.nodes and self.nodes[p.to].paused)]

    def _settle(self) -> None:
        for _ in range(DELIVERIES_MAX):
            ready = self._ready()
            if not ready:
                return
            self.network.remove(ready[0])
            self._deliver(ready[0])
        raise AssertionError("the messages never end")

    def _chosen(self, given: Arguments, packets: list[Packet]) -> list[Packet]:
        wanted = _filter(given.words)
        chosen = [packet for packet in packets if wanted(packet)]
        count = given.number("count", len(chosen))
        return chosen[-count:] if "last" in given.words else chosen[:count]

    def do_stabilize(self, given: Arguments) -> None:
        """stabilize: messages arrive until there are none."""
        self._settle()

    def do_deliver(self, given: Arguments) -> None:
        """deliver [A->B] [Type..] [count=N] [last]: what is under way now arrives."""
        for packet in self._chosen(given, self._ready()):
            self.network.remove(packet)
            self._deliver(packet)

    def do_drop(self, given: Arguments) -> None:
        for packet in self._chosen(given, self.network):
            self.network.remove(packet)
            self.say(f"{packet.source}->{packet.to} {message_name(packet.message)} is lost")

    def do_duplicate(self, given: Arguments) -> None:
        """duplicate [A->B] [Type..]: the copies are held until `release`."""
        self.held.extend(self._chosen(given, self.network))

    def do_hold(self, given: Arguments) -> None:
        """hold [A->B] [Type..]: such messages, also later ones, wait for `release`."""
        chosen = self._chosen(given, self.network)
        self.network = [packet for packet in self.network if packet not in chosen]
        self.held.extend(chosen)
        self.holds.append(_filter(given.words))

    def do_release(self, given: Arguments) -> None:
        """release [A->B] [Type..]: what was held is under way again, and nothing is held now."""
        chosen = self._chosen(given, self.held)
        self.held = [packet for packet in self.held if packet not in chosen]
        self.network.extend(chosen)
        self.holds.clear()

    def do_cut(self, given: Arguments) -> None:
        """cut A->B..: nothing arrives that way."""
        self.cut.update((word.split("->")[0], word.split("->")[1]) for word in given.words)

    def do_isolate(self, given: Arguments) -> None:
        """isolate ID..: they hear nobody else, and nobody else hears them."""
        inside = set(given.words)
        self.cut |= {
            (a, b) for a in self.nodes for b in self.nodes if (a in inside) != (b in inside)
        }

    def do_heal(self, given: Arguments) -> None:
        self.cut.clear()

    def do_inject(self, given: Arguments) -> None:
        """inject A->B Type field=.. [entries=[2/1 3/1]]: this message arrives now."""
        source, _, to = given.words[0].partition("->")
        kind: type[Message] = getattr(messages, given.words[1])
        fields = dict(given.named)
        values: dict[str, object] = {"term": int(fields.pop("t")), "sender": source}
        if kind is messages.Append:
            pairs = [item.split("/") for item in fields.pop("entries", "[]").strip("[]").split()]
            body = [entry_of(int(index), int(term)) for index, term in pairs]
            prev = fields.pop("prev").split("/")
            values |= {
                "stream": 1, "read_round": 0, "count": len(body), "entries": b"".join(body),
                "prev_index": int(prev[0]), "prev_term": int(prev[1]),
                "commit_index": int(fields.pop("commit", "0")),
            }  # fmt: skip
        values |= {name: int(value) for name, value in fields.items()}
        self._deliver(Packet(source, to, kind(**values)), injected=True)  # type: ignore[arg-type]

    def do_inject_configurations(self, given: Arguments) -> None:
        """inject-configurations A->B t=.. prev=.. INDEX:VOTERS[&OUTGOING][+LEARNER]..: append."""
        source, _, to = given.words[0].partition("->")
        term = int(given.named["t"])
        prev = given.named["prev"].split("/")
        body = []
        for word in given.words[1:]:
            index, _, members = word.partition(":")
            voting, *learners = members.split("+")
            voters, _, outgoing = voting.partition("&")
            found = Configuration(
                tuple(voters.split(",")), tuple(filter(None, outgoing.split(","))), tuple(learners)
            )
            body.append(encode_entry(int(index), term, KIND_CONFIGURATION, found.encode()))
        message = messages.Append(
            term, source, 1, int(prev[0]), int(prev[1]), 0, 0, len(body), b"".join(body)
        )
        self._deliver(Packet(source, to, message), injected=True)

    def do_inject_snapshot(self, given: Arguments) -> None:
        """inject-snapshot A->B t=TERM at=INDEX/TERM members=..: it arrives whole, now."""
        source, _, to = given.words[0].partition("->")
        index, term = map(int, given.named["at"].split("/"))
        members = Configuration(given.members("members")).encode()
        self.nodes[to].snapshots[index] = [f"s{number}" for number in range(1, index + 1)]
        header = messages.SnapshotHeader(int(given.named["t"]), source, 1, index, term, members)
        self._deliver(Packet(source, to, header), injected=True)


def entry_of(index: int, term: int) -> bytes:
    return encode_entry(index, term, KIND_OPERATION, f"e{index}.{term}".encode())


def _filter(words: list[str]) -> Callable[[Packet], bool]:
    links = [word.split("->") for word in words if "->" in word]
    names = {word for word in words if "->" not in word and word != "last"}

    def matches(packet: Packet) -> bool:
        if names and message_name(packet.message) not in names:
            return False
        return not links or any(
            a in ("*", packet.source) and b in ("*", packet.to) for a, b in links
        )

    return matches
