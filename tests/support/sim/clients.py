"""Clients of a simulated cluster: sessions that retry under one op id, and the history they see.

A client asks one master at a time, follows hints, gives up on an attempt after a while and on the
operation after its deadline; then its outcome is unknown, unless every attempt was refused.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydfsnode.errors import NotLeader, Overloaded, PydfsError, StaleRead
from tests.support.linearizability import UNKNOWN, Operation
from tests.support.sim.calls import Call, as_result, chosen, encoded, is_read, looked_up

if TYPE_CHECKING:
    from tests.support.sim.node import Process
    from tests.support.sim.simulation import Simulation


class History:
    """Everything that all clients did, by directory. Moments are numbers in order."""

    def __init__(self) -> None:
        self.by_directory: dict[str, list[Operation]] = {}
        self.floor = 0
        """The highest index that any client was told about: later reads must not be older."""
        self._floors: list[tuple[float, int]] = [(-1.0, 0)]
        self._unknown: list[tuple[Operation, tuple[int, int]]] = []
        self._moment = 0

    def moment(self) -> int:
        """A number above all before."""
        self._moment += 1
        return self._moment

    def called(self, directory: str, call: Call) -> Operation:
        """Note that a client begins *call*; a stale read is no part of the history."""
        operation = Operation(call, self.moment())
        operations = self.by_directory.setdefault(directory, [])
        if call[-1] != "stale":
            operations.append(operation)
        return operation

    def given_up(self, operation: Operation, op: tuple[int, int]) -> None:
        """A client will not hear what became of *op*."""
        self._unknown.append((operation, op))

    def resolve(self, results: Mapping[tuple[int, int], object]) -> None:
        """Of what was given up the log knows whether it happened, and how: that helps the check.

        It still may have happened at any moment after its call.
        """
        for operation, op in self._unknown:
            outcome = results.get(op)
            if outcome is not None:
                _happened(operation, as_result(operation.call, outcome))
            else:
                for operations in self.by_directory.values():
                    if any(known is operation for known in operations):
                        operations[:] = [known for known in operations if known is not operation]

    def known(self, index: int, now_s: float) -> None:
        """A client was told of the state after *index*."""
        if index > self.floor:
            self.floor = index
            self._floors.append((now_s, index))

    def floor_at(self, moment_s: float) -> int:
        """What was known to clients at *moment_s* of the world."""
        return self._floors[bisect_right(self._floors, (moment_s, 1 << 62)) - 1][1]

    def returned(self, operation: Operation, result: object) -> None:
        """Note what the client was told."""
        _happened(operation, result)
        operation.returned = self.moment()

    def count(self) -> int:
        """Operations begun."""
        return sum(map(len, self.by_directory.values()))


def _happened(operation: Operation, result: object) -> None:
    """Whether a file that is being written may be replaced depends on the clock, not on names."""
    operation.result = result
    if result == "busy":
        operation.call = ("busy", operation.call[1])


class Client:
    """One session. `act` begins an operation and calls itself again after each one."""

    def __init__(self, sim: Simulation, number: int) -> None:
        self.sim = sim
        self.client_id = number
        self.answered = 0
        self.unknown = 0
        self._rng = random.Random(f"{sim.plan.seed}/client/{number}")
        self._seq = 0
        self._attempt = 0
        self._operation: Operation | None = None
        self._directory = ""
        self._floor = 0
        self._maybe = False
        self._deadline_s = 0.0
        self._target = ""
        self._serial = 0

    def act(self) -> None:
        """Begin the next operation, or do so later when the workload rests."""
        sim = self.sim
        if self._operation is not None:
            return
        if not sim.load_on:
            sim.scheduler.after(1.0, self.act)
            return
        self.begin(*self._choose())

    def begin(self, directory: str, call: Call) -> None:
        """Begin *call* in *directory*."""
        sim = self.sim
        self._directory = directory
        self._operation = sim.history.called(directory, call)
        self._floor = sim.history.floor
        self._maybe = False
        self._deadline_s = sim.scheduler.now_s + sim.plan.deadline_s
        if not is_read(call):
            self._seq += 1
        self._try("")

    def _choose(self) -> tuple[str, Call]:
        rng = self._rng
        directory = f"/d{rng.randrange(self.sim.plan.directories)}"
        self._serial += 1
        return directory, chosen(rng, self.sim.plan, f"u{self.client_id}-{self._serial}")

    # ---- attempts

    def _try(self, target: str) -> None:
        sim, rng = self.sim, self._rng
        self._attempt += 1
        self._target = target or rng.choice(sim.names)
        assert self._operation is not None
        if not sim.client_loses(rng):
            sim.scheduler.after(
                sim.network.delay_s(), sim.request, self._target, self,
                self._attempt, self._directory, self._operation.call, self._seq,
            )  # fmt: skip
        sim.scheduler.after(sim.plan.attempt_s, self._timed_out, self._attempt)

    def _timed_out(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._maybe = True
            self._again("", 0.0)

    def _again(self, target: str, pause_s: float) -> None:
        sim = self.sim
        self._attempt += 1
        if sim.scheduler.now_s + pause_s >= self._deadline_s:
            self._finish(UNKNOWN)
            return
        attempt = self._attempt

        def later() -> None:
            if attempt == self._attempt:
                self._try(target)

        sim.scheduler.after(pause_s, later)

    def receive(self, attempt: int, answer: object) -> None:
        """An answer arrived; one to an older attempt says nothing new."""
        if attempt != self._attempt:
            return
        if isinstance(answer, PydfsError):
            self._refused(answer)
            return
        assert isinstance(answer, tuple)
        index, result = answer
        history = self.sim.history
        assert self._operation is not None
        call = self._operation.call
        if is_read(call) and call[2] != "stale":
            self.sim.monitor.require(
                index >= self._floor,
                f"INV-LIN: a read ({call[2]}) saw the state after {index}, though {self._floor} "
                "was known",
            )
        if call[-1] != "stale":
            history.known(index, self.sim.scheduler.now_s)
        self.answered += 1
        self._maybe = True
        self._finish(result)

    def _refused(self, error: PydfsError) -> None:
        hint = str(error.fields.get("leader_hint", "") or "")
        if isinstance(error, NotLeader):
            self._again(hint.partition("=")[0], 0.001 if hint else 0.05 + 0.1 * self._rng.random())
            return
        if not isinstance(error, Overloaded):
            self._maybe = True
        self._again("", 0.05 + 0.2 * self._rng.random())

    def _finish(self, result: object) -> None:
        operation, self._operation = self._operation, None
        assert operation is not None
        self._attempt += 1
        if result is not UNKNOWN:
            self.sim.history.returned(operation, result)
        elif operation.call[-1] == "stale":
            pass
        elif is_read(operation.call) or not self._maybe:
            self.sim.history.by_directory[self._directory].remove(operation)  # it never was
        else:
            self.unknown += 1
            self.sim.history.given_up(operation, (self.client_id, self._seq))
        self.sim.scheduler.after(self._rng.expovariate(1 / self.sim.think_s), self.act)


class Service:
    """One request at one process: what the namespace service does with it."""

    def __init__(
        self, process: Process, client: Client, attempt: int, directory: str, call: Call, seq: int
    ) -> None:
        self._process = process
        self._client = client
        self._attempt = attempt
        self._path = f"{directory}/{call[1]}"
        self._directory = directory
        self._call = call
        self._op = client.client_id, seq

    def begin(self) -> None:
        """Propose or read; the answer goes back by the network."""
        call, driver = self._call, self._process.driver
        try:
            if not is_read(call):
                wall_ms = self._process.loop.wall_ms()
                payload = encoded(*self._op, wall_ms, self._directory, call)
                self._await(driver.propose(payload), self._applied)
            elif call[2] == "stale":
                self._read_stale()
            elif call[2] == "any":
                self._await(driver.read_barrier(), self._read)
            else:
                driver.require_leader()
                self._await(driver.read_barrier(lease=call[2] == "lease"), self._read)
        except PydfsError as error:
            self._answer(error)

    def _await(self, future: Any, then: Callable[[Any], None]) -> None:
        process = self._process

        def done(ended: Any) -> None:
            process.waiting.pop(ended, None)
            if not ended.cancelled():
                error = ended.exception()
                if error is None:
                    then(ended.result())
                else:
                    self._answer(error)

        process.waiting[future] = process.sim.scheduler.now_s
        future.add_done_callback(done)

    def _applied(self, outcome: object) -> None:
        index = self._process.monitor.applied_ops[self._op][0]
        self._answer((index, as_result(self._call, outcome)))

    def _read(self, _: object) -> None:
        process = self._process
        try:
            answer = self._state()
        except PydfsError as error:  # the content of a small file is not to be had here
            self._answer(error)
            return
        if self._call[2] == "lease" and not process.driver.holds_lease():
            self._call = (*self._call[:2], "any")
            self.begin()  # the lease may have ended between (trap D6)
            return
        self._answer(answer)

    def _read_stale(self) -> None:
        """Whatever is here, with how old it is at most: that must be true."""
        process = self._process
        bound_ms = process.driver.staleness_ms()
        if bound_ms is None:
            self._answer(StaleRead("it is not known how old this state is"))
            return
        sim = process.sim
        since_s = sim.scheduler.now_s - bound_ms / 1000 / (1 - sim.plan.drift)
        floor = sim.history.floor_at(since_s)
        process.monitor.require(
            process.machine.applied_index >= floor,
            f"{process.member}: claims to be at most {bound_ms} ms old with the state after "
            f"{process.machine.applied_index}, but {floor} was known then",
        )
        self._answer(self._state())

    def _state(self) -> tuple[int, str | None]:
        machine = self._process.machine
        return machine.applied_index, looked_up(machine, self._path, self._call[0])

    def _answer(self, value: object) -> None:
        sim = self._process.sim
        if not self._process.dead and not sim.client_loses(sim.net_rng):
            delay_s = sim.network.delay_s()
            sim.scheduler.after(delay_s, self._client.receive, self._attempt, value)
