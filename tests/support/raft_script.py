"""Runs readable scripts against real raft cores: every line of the answer is what a core did.

A file is a row of blocks: commands, a line `----`, and what came of them up to an empty line; `|`
separates commands in a line and `#` begins a comment. Time passes only by `tick` and `run`, and
messages arrive only by `deliver`, `stabilize` and `run`. The commands are the methods `do_*`
here and in `raft_script_network`; `~` in a member id stands for `#`.
`pytest tests/unit/raft --rewrite` writes the answers anew: read the diff.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import HardState
from pydfsnode.raft.types import Timing
from tests.support.raft_script_network import Arguments, ScriptNetwork, entry_of
from tests.support.raft_script_node import ScriptNode
from tests.support.raft_script_text import configuration_text, state_text

TICK_MS = 20
_WORD = re.compile(r"[^\s\[]*\[[^]]*\]\S*|\S+")
_QUIET = re.compile(r"^\S+ (takes|is lost)|^  \S+->\S+ |^  \S+: persist |^  \S+: io \d+ is durable")


class RaftScript(ScriptNetwork):
    """A cluster that does what a script says."""

    def execute(self, line: str) -> None:
        """One line of commands."""
        for command in line.split("#")[0].split("|"):
            words = [word.replace("~", "#") for word in _WORD.findall(command)]
            if words:
                getattr(self, f"do_{words[0].replace('-', '_')}")(Arguments(words[1:]))
                self._check()

    # ---- the cluster

    def do_nodes(self, given: Arguments) -> None:
        """nodes COUNT|ID.. [timeout=MS] [heartbeat=MS]: voters that start empty."""
        names = given.words
        if len(names) == 1 and names[0].isdigit():
            names = [str(number) for number in range(1, int(names[0]) + 1)]
        self.timing = Timing(given.number("heartbeat", 60), given.number("timeout", 500), 0.1)
        for name in names:
            self._add(name, tuple(names))

    def do_node(self, given: Arguments) -> None:
        """node ID..: of no cluster yet."""
        for name in given.words:
            self._add(name, ())

    def _add(self, name: str, voters: tuple[str, ...]) -> None:
        timeout = len(self.nodes) % 5 * 0.2
        node = ScriptNode(name, voters, self.timing, timeout, self.say, self._send)
        self.nodes[name] = node
        node.start(self.now_ms)

    def do_logs(self, given: Arguments) -> None:
        """logs ID=[1 1 2]@TERM ..: terms of the entries, and the current term; not committed."""
        for name, text in given.named.items():
            terms_text, _, term = text.partition("@")
            terms = [int(word) for word in terms_text.strip("[]").split()]
            disk = self.nodes[name].disk
            disk.entries = [entry_of(index, t) for index, t in enumerate(terms, 1)]
            disk.hard_state = HardState(int(term) if term else max(terms, default=0))
            self.nodes[name].start(self.now_ms)

    def do_bootstrap(self, given: Arguments) -> None:
        """bootstrap ID voters=..: the first configuration of a new cluster."""
        node = self.nodes[given.words[0]]
        first = Configuration(given.members("voters"))
        node.event(self.now_ms, lambda: node.core.bootstrap(first))

    def do_crash(self, given: Arguments) -> None:
        """crash ID..: what is not durable is lost; messages under way to it, too."""
        for name in given.words:
            self.nodes[name].alive = False
            self.network = [packet for packet in self.network if packet.to != name]

    def do_restart(self, given: Arguments) -> None:
        """restart ID..: from what is durable."""
        for name in given.words:
            self.nodes[name].start(self.now_ms)
        self.do_state(given)

    def do_wipe(self, given: Arguments) -> None:
        """wipe ID NEW: a new, empty disk, and so another incarnation."""
        self.do_crash(Arguments(given.words[:1]))
        self._add(given.words[1], ())

    def do_pause(self, given: Arguments) -> None:
        """pause ID..: the process does not run; messages to it wait."""
        for name in given.words:
            self.nodes[name].paused = True

    def do_wake(self, given: Arguments) -> None:
        for name in given.words:
            self.nodes[name].paused = False

    def do_clock(self, given: Arguments) -> None:
        """clock ID RATE: how fast its clock runs from now on."""
        node = self.nodes[given.words[0]]
        local_ms = node.local_ms(self.now_ms)
        node.clock_rate = float(given.words[1])
        node.clock_offset_ms = local_ms - int(self.now_ms * node.clock_rate)

    def do_disk(self, given: Arguments) -> None:
        """disk ID slow|quick: whether writes become durable by `fsync` only."""
        self.nodes[given.words[0]].slow_disk = given.words[1] == "slow"

    def do_fsync(self, given: Arguments) -> None:
        """fsync ID [all]: its oldest write becomes durable."""
        node = self.nodes[given.words[0]]
        for _ in range(len(node.unsynced) if given.words[1:] else 1):
            node.core.advance(node.local_ms(self.now_ms))
            node.fsync()

    def do_apply(self, given: Arguments) -> None:
        """apply ID held|on"""
        node = self.nodes[given.words[0]]
        node.apply_held = given.words[1] == "held"
        node.apply()

    # ---- time

    def do_tick(self, given: Arguments) -> None:
        """tick MS: time passes everywhere, and no message arrives."""
        for _ in range(int(given.words[0]) // TICK_MS):
            self._tick()

    def do_run(self, given: Arguments) -> None:
        """run MS: time passes, messages arrive; only what changes is shown, not what is said."""
        began = len(self.lines)
        self._settle()
        for _ in range(int(given.words[0]) // TICK_MS):
            self._tick()
            self._settle()
        self._quieten(began)

    def do_quietly(self, given: Arguments) -> None:
        """quietly COMMAND ..: as `run` does, what is said is not shown."""
        began = len(self.lines)
        getattr(self, f"do_{given.words[0]}")(Arguments(given.words[1:]))
        self._quieten(began)

    def _quieten(self, began: int) -> None:
        self.lines[began:] = [line for line in self.lines[began:] if not _QUIET.match(line)]

    def _tick(self) -> None:
        self.now_ms += TICK_MS
        for node in self.nodes.values():
            if node.alive and not node.paused:
                tick = partial(node.core.tick, node.local_ms(self.now_ms))
                node.event(self.now_ms, tick)

    def do_sleep(self, given: Arguments) -> None:
        """sleep MS: time passes and no process runs."""
        self.now_ms += int(given.words[0])

    def do_campaign(self, given: Arguments) -> None:
        """campaign ID: its election timeout is over now."""
        node = self.nodes[given.words[0]]
        state = node.core._state
        state.election_deadline_ms = state.tick_ms = node.local_ms(self.now_ms)
        node.event(self.now_ms, lambda: node.core.tick(node.local_ms(self.now_ms)))

    def do_leader(self, given: Arguments) -> None:
        """leader ID: it is elected, with nobody else's help; only the outcome is shown."""
        began = len(self.lines)
        name = given.words[0]
        for node in self.nodes.values():
            node.core._state.election_deadline_ms += 10_000
        self.do_tick(Arguments(["500"]))
        self.do_campaign(given)
        self._settle()
        for node in self.nodes.values():
            node.core._state.election_deadline_ms = min(
                node.core._state.election_deadline_ms, node.local_ms(self.now_ms) + 900
            )
        del self.lines[began:]
        self.do_state(Arguments([name]))

    # ---- use

    def do_propose(self, given: Arguments) -> None:
        """propose ID NAME.. [count=N each=BYTES]: operations."""
        node = self.nodes[given.words[0]]
        names = given.words[1:] or [f"x{n}" for n in range(given.number("count", 1))]
        payloads = [name.encode().ljust(given.number("each", 0), b"_") for name in names]
        node.event(self.now_ms, lambda: node.core.propose(payloads))

    def _read(self, given: Arguments, *, by_lease: bool = False, ask: bool = False) -> None:
        node = self.nodes[given.words[0]]
        for name in given.words[1:]:
            number = len(node.read_names) + 1
            node.read_names[number] = name
            read = partial(node.core.read, number, by_lease=by_lease, ask=ask)
            node.event(self.now_ms, read)

    def do_read(self, given: Arguments) -> None:
        """read ID NAME..: linearizable, on the leader."""
        self._read(given)

    def do_lease_read(self, given: Arguments) -> None:
        self._read(given, by_lease=True)

    def do_follower_read(self, given: Arguments) -> None:
        self._read(given, ask=True)

    def do_transfer(self, given: Arguments) -> None:
        """transfer ID [TO]"""
        node = self.nodes[given.words[0]]
        to = given.words[1] if given.words[1:] else ""
        node.event(self.now_ms, lambda: node.core.transfer_leadership(to))

    def do_change(self, given: Arguments) -> None:
        """change ID voters=.. [learners=..]"""
        node = self.nodes[given.words[0]]
        voters, learners = given.members("voters"), given.members("learners")
        node.event(self.now_ms, lambda: node.core.change_configuration(voters, learners, {}))

    def do_compact(self, given: Arguments) -> None:
        """compact ID INDEX: its state machine is durable, its log before that is gone."""
        node, through = self.nodes[given.words[0]], int(given.words[1])
        node.disk.state = list(node.machine)
        node.disk.compact(through, node.core.compact(through))

    def do_snapshot(self, given: Arguments) -> None:
        """snapshot A->B: of A's state now; B gets it whole."""
        source, _, to = given.words[0].partition("->")
        node = self.nodes[source]
        stream = node.core._state.progress[to].stream
        index = len(node.machine)
        self.nodes[to].snapshots[index] = list(node.machine)
        header = node.core.snapshot_header(index, stream)
        if header is None:
            self.say(f"  {source}: no snapshot for {to}: it leads no more")
        else:
            self._send(source, to, header)

    def do_snapshot_ended(self, given: Arguments) -> None:
        """snapshot-ended A->B: the transfer ended, well or not."""
        source, _, to = given.words[0].partition("->")
        node = self.nodes[source]
        stream = node.core._state.progress[to].stream
        node.event(self.now_ms, lambda: node.core.snapshot_finished(to, stream))

    # ---- looking

    def _named(self, given: Arguments) -> Iterator[ScriptNode]:
        for name in given.words or self.nodes:
            yield self.nodes[name]

    def do_show(self, given: Arguments) -> None:
        """show [streams] [clocks]: in messages, from now on."""
        self.shown = set(given.words)

    def do_state(self, given: Arguments) -> None:
        for node in self._named(given):
            self.say(f"{node.node_id}: {state_text(node.core) if node.alive else 'down'}")

    def do_machine(self, given: Arguments) -> None:
        """machine [ID..]: what its state machine applied."""
        for node in self._named(given):
            self.say(f"{node.node_id}: {' '.join(node.machine[-12:])}")

    def do_progress(self, given: Arguments) -> None:
        """progress ID: how the leader sees the others."""
        for name, found in self.nodes[given.words[0]].core._state.progress.items():
            leaving = " leaving" if found.leaving_until_ms else ""
            self.say(
                f"{name}: {found.state} match={found.match_index} next={found.next_index} "
                f"inflight={len(found.inflight)}/{found.window_appends}{leaving}"
            )

    def do_lease(self, given: Arguments) -> None:
        """lease [ID..]: whether it may read without asking."""
        for node in self._named(given):
            node.core.advance(node.local_ms(self.now_ms))
            held = "lease" if node.core.holds_lease() else "no lease"
            self.say(f"{node.node_id}: {held} at {self.now_ms} ms")

    def do_staleness(self, given: Arguments) -> None:
        for node in self._named(given):
            node.core.advance(node.local_ms(self.now_ms))
            age_ms = node.core.staleness_ms()
            self.say(f"{node.node_id}: {'unknown' if age_ms is None else f'at most {age_ms} ms'}")

    def do_members(self, given: Arguments) -> None:
        for node in self._named(given):
            core = node.core
            settled = "settled" if core.configuration_settled else "not settled"
            members = configuration_text(core.configuration)
            self.say(f"{node.node_id}: {members} from {core.configuration_index}, {settled}")

    def do_expect(self, given: Arguments) -> None:
        """expect ID what=value..: fails when it is otherwise, also under --rewrite."""
        node = self.nodes[given.words[0]]
        core = node.core
        core.advance(node.local_ms(self.now_ms))
        found = {
            "role": core.role, "t": core.term, "commit": core.commit_index,
            "last": core.last_index, "lease": "yes" if core.holds_lease() else "no",
            "alive": "yes" if node.alive else "no", "leader": core.leader or "-",
            "machine": ",".join(name for name in node.machine if name[0] not in "-{"),
            "members": configuration_text(core.configuration).replace(" ", ","),
            "reads": ",".join(node.reads_answered),
        }  # fmt: skip
        for name, value in given.named.items():
            assert str(found[name]) == value, f"{node.node_id}: {name} is {found[name]}"

    # ---- invariants

    def _check(self) -> None:
        """Election safety, and state machine safety."""
        alive = [node for node in self.nodes.values() if node.alive]
        for node in alive:
            if node.core.role == "leader":
                first = self.leaders.setdefault(node.core.term, node.node_id)
                assert first == node.node_id, f"{first} and {node.node_id} lead {node.core.term}"
        longest = max((node.machine for node in alive), key=len, default=[])
        for node in alive:
            assert node.machine == longest[: len(node.machine)], f"{node.node_id} applied otherwise"


def rewritten(path: Path) -> str:
    """The script in *path* with the answers that the cores give now."""
    script = RaftScript()
    out: list[str] = []
    answering = False
    for line in path.read_text().splitlines():
        if answering and line:
            continue
        answering = line == "----"
        out.append(line)
        if answering:
            out.extend(script.lines or ["ok"])
            script.lines.clear()
        elif line and not line.startswith("#"):
            try:
                script.execute(line)
            except Exception as error:
                error.add_note(f"in {path.name}, at: {line}")
                raise
    assert not script.lines, f"{path.name}: commands after the last ---- have no answer"
    return "\n".join(out) + "\n"
