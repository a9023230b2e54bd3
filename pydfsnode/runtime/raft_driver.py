"""What a master asks of consensus: propose, read, change the members, hand over, install.

The turn below it is in `raft_turn`. Make it inside the running loop; all methods are the loop's
thread's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, cast

from pydfsnode.errors import PydfsError, Unavailable
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.runtime.raft_status import FSYNC_WARNINGS, RaftStatus
from pydfsnode.runtime.raft_turn import ConfigurationCallback, RaftTurn, RoleCallback

T = TypeVar("T")


class RaftDriver(RaftTurn):
    """One node's consensus; the constructor's arguments are `RaftTurn`'s."""

    _own_hint: tuple[Configuration | None, str] = (None, "")  # and of which configuration it is

    # ---- what callers ask for

    def propose(self, payload: bytes, client: int = 0) -> asyncio.Future[object]:
        """Replicate *payload* as one entry; await the result: what `machine.apply` made of it.

        Args:
            client: whose turn it takes when there is much to do; any number.

        Raises:
            NotLeader: with `leader_hint`; nothing happened.
            Overloaded, MessageTooLarge, Unavailable: nothing happened.
            OutcomeUnknown: leadership was lost meanwhile; ask again with the same op id.
        """
        self.require_leader_soon()
        outcome = self._proposals.add(payload, client)
        self._wake()
        return outcome

    def read_barrier(self, *, lease: bool = False, reads: int = 1) -> asyncio.Future[None]:
        """Await it: then the state machine holds all that was acknowledged before the call.

        On a follower it asks the leader which index to wait for.

        Args:
            lease: on a leader, its lease will do; check `holds_lease` again after the read was
                made (trap D6).
            reads: how many share it.

        Raises:
            NotLeader: with `leader_hint`; no leader is known, or it did not answer.
            Overloaded, Unavailable.
        """
        if not self._running:
            raise Unavailable("this master is not running: ask another one")
        if not self._core.leader and self._core.role != "candidate":
            raise self._not_leader()
        barrier = self._reads.add(lease, reads)
        self._wake()
        return barrier

    def holds_lease(self) -> bool:
        """Whether this leader may answer reads from its own state at this moment."""
        self._core.advance(self._clock.monotonic_ms())
        return self._running and self._core.holds_lease()

    def staleness_ms(self) -> int | None:
        """How old the applied state is at most; None when nobody can tell."""
        self._core.advance(self._clock.monotonic_ms())
        return self._core.staleness_ms()

    # ---- members

    @property
    def configuration(self) -> Configuration:
        """The members by the latest entry in the log, committed or not."""
        return self._core.configuration

    @property
    def configuration_index(self) -> int:
        """The index of that entry."""
        return self._core.configuration_index

    @property
    def configuration_committed(self) -> bool:
        """Whether no change of the members is under way, as far as is known here."""
        return self._core.configuration_settled

    def on_configuration(self, callback: ConfigurationCallback) -> None:
        """Call *callback* now and after every change of the members, committed or not."""
        self._configuration_callbacks.append(callback)
        callback(self._core.configuration)

    def change_configuration(
        self, voters: Iterable[str], learners: Iterable[str], addresses: Mapping[str, str]
    ) -> asyncio.Future[None]:
        """Make exactly *voters* and *learners* (member ids) the members; await it for the end.

        Raises:
            NotLeader, ChangeInProgress, InvalidArgument, Overloaded: nothing changed.
            OutcomeUnknown: leadership was lost meanwhile.
        """
        self.require_leader()
        voters, learners = tuple(voters), tuple(learners)
        self._core.change_configuration(voters, learners, dict(addresses))
        done: asyncio.Future[None] = self._loop.create_future()
        self._changes.changing(voters, learners, done)
        self._wake()
        return done

    def transfer_leadership(self, to: str = "") -> asyncio.Future[None]:
        """Hand leadership to the member *to*, "" for the most advanced voter.

        What is proposed meanwhile waits. Done when another leads.

        Raises:
            NotLeader, InvalidArgument: nothing happened.
            TransferFailed: it did not work out within an election timeout.
        """
        self.require_leader()
        self._core.advance(self._clock.monotonic_ms())
        target = self._core.transfer_leadership(to)
        done: asyncio.Future[None] = self._loop.create_future()
        self._changes.transferring(target, done, self._clock.monotonic_ms())
        self._wake()
        return done

    def bootstrap(self, configuration: Configuration) -> asyncio.Future[None]:
        """Begin a cluster of *configuration*; done when that is durable here.

        Raises:
            InvalidArgument: this master belongs to one already.
        """
        self._core.bootstrap(configuration)
        done: asyncio.Future[None] = self._loop.create_future()
        self._turn()
        self._changes.bootstrapping(self._submitted_io, done)
        return done

    # ---- snapshots

    def snapshot_header(self, view_index: int, stream: int) -> SnapshotHeader | None:
        """What begins the transfer of the state at *view_index* to the peer seen as *stream*.

        The log after it is kept until `snapshot_finished`. None: it is not wanted any more.
        """
        header = self._core.snapshot_header(view_index, stream)
        if header is not None:
            self._compaction.pin(stream, view_index, self._clock.monotonic_ms())
        return header

    def snapshot_alive(self, peer: str, stream: int) -> None:
        """The transfer makes progress."""
        self._compaction.alive(stream, self._clock.monotonic_ms())

    def snapshot_finished(self, peer: str, stream: int, ok: bool) -> None:
        """The transfer ended; the peer is searched for its match again either way."""
        self._compaction.unpin(stream)
        self._core.snapshot_finished(peer, stream)
        self._wake()

    def snapshot_offered(self, header: SnapshotHeader) -> bool:
        """Whether to receive the snapshot that *header* begins."""
        if not self._running or self._load_state is None:
            return False
        self._core.advance(self._clock.monotonic_ms())
        wanted = self._core.snapshot_offered(header)
        self._wake()
        return wanted

    def install_snapshot(self, header: SnapshotHeader) -> asyncio.Future[bool]:
        """All rows are staged: make them log and state; await whether that was done."""
        installed: asyncio.Future[bool] = self._loop.create_future()
        if not self._running or self._load_state is None:
            installed.set_result(False)
            return installed
        self._installations.add(header, installed)
        self._wake()
        return installed

    def drop_log(self, through: int) -> None:
        """Drop the log up to *through* as soon as the state on disk holds it; in the background."""
        self._compaction.drop(through)

    def run_on_log(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Run *job* on the storage thread; its error is the future's.

        A broken promise of the storage stops the node.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if not self._running:
            future.set_exception(Unavailable("this master is stopping: ask another one"))
            return future

        def then(result: object) -> None:
            if not future.done():
                future.set_result(cast(T, result))

        def failed(error: PydfsError) -> None:
            if not future.done():
                future.set_exception(error)

        self._run_job(job, then, failed)
        return future

    def on_role_change(self, callback: RoleCallback) -> None:
        """Call *callback*(role, term) after every change of either."""
        self._role_callbacks.append(callback)

    @property
    def leader_hint(self) -> str:
        """The leader as far as this master knows, "node_id=host:port"; "" when it knows none."""
        return self.own_hint if self.is_leader else self._not_leader().leader_hint

    @property
    def own_hint(self) -> str:
        """What the others say of this master when it leads: "node_id=host:port"."""
        core = self._core
        of, hint = self._own_hint
        if of is not core.configuration:  # every answer to a create asks
            of, name = core.configuration, member_name(core.node_id)
            address = of.addresses.get(core.node_id) or self._addresses.get(name)
            hint = f"{name}={address}" if address else ""
            self._own_hint = of, hint
        return hint

    def status(self) -> RaftStatus:
        """How it stands now."""
        core, counters, sent = self._core, self._commits.counters, self._core.counters()
        return RaftStatus(
            node_id=member_name(core.node_id),
            member_id=core.node_id,
            role=core.role,
            term=core.term,
            leader=member_name(core.leader),
            first_index=core.first_index,
            configuration=core.configuration,
            configuration_index=core.configuration_index,
            commit_index=core.commit_index,
            applied_index=self._applier.applied_index,
            last_index=core.last_index,
            peers=core.peers(),
            fsync=self._fsync,
            fsync_warning=FSYNC_WARNINGS[self._fsync],
            groups_written=counters.groups_written,
            entries_written=counters.entries_written,
            proposals_queued=len(self._proposals),
            overslept=self._tickers[0].overslept,
            compactions=self._upkeep.compactions,
            snapshots_installed=self.snapshots_installed,
            appends_sent=sent["appends_sent"],
            entries_sent=sent["entries_sent"],
        )

    @property
    def term(self) -> int:
        """The current term."""
        return self._core.term

    @property
    def is_leader(self) -> bool:
        """Whether this node believes to lead; only a read barrier proves it."""
        return self._running and self._core.role == "leader"

    def require_leader(self) -> None:
        """Raise NotLeader (with its hint) or Unavailable unless this node believes to lead."""
        if not self._running:
            raise Unavailable("this master is not running: ask another one")
        if self._core.role != "leader":
            raise self._not_leader()

    def require_leader_soon(self) -> None:
        """As `require_leader`, but a candidate will do: it waits for its votes only.

        What is asked of a candidate waits until it leads or another does: so nobody is sent away
        in the moment between an old leader's last answer and its successor's first.
        """
        if not self._running or self._core.role != "candidate":
            self.require_leader()
