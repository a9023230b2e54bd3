"""Asyncio on virtual time: one `Scheduler` holds all events, a `NodeLoop` is what one process sees.

No selector and no threads. Time jumps to the next event, and events of one moment run in the order
in which they were made, so a run is the same every time. A node's loop has a clock of its own
(offset, drift), can be paused (what is due waits for the wake, in order) and dies with its process.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Coroutine
from typing import Any

WALL_START_MS = 1_700_000_000_000


class Event:
    """Something that will happen; `cancel` prevents it."""

    __slots__ = ("args", "callback", "cancelled_", "context", "loop", "when_s")

    def __init__(
        self,
        when_s: float,
        loop: NodeLoop | None,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        self.when_s = when_s
        self.loop = loop
        self.callback = callback
        self.args = args
        self.context = context
        self.cancelled_ = False

    def cancel(self) -> None:
        """It does not happen; may be called at any time."""
        self.cancelled_ = True

    def cancelled(self) -> bool:
        """As `asyncio.Handle.cancelled`."""
        return self.cancelled_

    def when(self) -> float:
        """As `asyncio.TimerHandle.when`, in the node's own seconds."""
        loop = self.loop
        return self.when_s if loop is None else loop.local_s(self.when_s)


class Scheduler:
    """The time and the events of one cluster. `now_s` is the world's time, that no node sees."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.event_count = 0
        self._sequence = 0
        self._heap: list[tuple[float, int, Event]] = []

    def at(
        self, when_s: float, callback: Callable[..., Any], *args: Any, loop: NodeLoop | None = None
    ) -> Event:
        """Have *callback* called at *when_s* of the world, for *loop* when given."""
        event = Event(when_s, loop, callback, args, None)
        self.push(event)
        return event

    def after(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> Event:
        """Have *callback* called in *delay_s* seconds of the world."""
        return self.at(self.now_s + delay_s, callback, *args)

    def push(self, event: Event) -> None:
        """Queue *event* behind all of its moment."""
        self._sequence += 1
        when_s = event.when_s
        if when_s < self.now_s:
            when_s = self.now_s
        heapq.heappush(self._heap, (when_s, self._sequence, event))

    def run_until(self, end_s: float) -> None:
        """Let everything happen that is due by *end_s*."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end_s:
            when_s, _, event = pop(heap)
            if event.cancelled_:
                continue
            self.now_s = when_s
            self.event_count += 1
            loop = event.loop
            if loop is None:
                event.callback(*event.args)
            else:
                loop.run(event)
        self.now_s = max(self.now_s, end_s)


_LoopBase: Any = asyncio.AbstractEventLoop


class NodeLoop(_LoopBase):  # type: ignore[misc]  # the part of a loop that masters use
    """The loop of one process of one node.

    Args:
        offset_s, rate: its monotonic clock shows offset_s + rate * the world's seconds.
        after_event: called after each event that ran, to look at the node.
    """

    def __init__(
        self, scheduler: Scheduler, offset_s: float, rate: float, after_event: Callable[[], None]
    ) -> None:
        self._scheduler = scheduler
        self._offset_s = offset_s
        self._rate = rate
        self._after_event = after_event
        self._frozen: list[Event] = []
        self.dead = False
        self.paused = False
        self.wall_offset_ms = 0
        self.failures: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []

    # ---- the clock

    def time(self) -> float:
        """The node's monotonic seconds."""
        return self._offset_s + self._scheduler.now_s * self._rate

    def local_s(self, world_s: float) -> float:
        """What the node's clock shows at *world_s*."""
        return self._offset_s + world_s * self._rate

    def monotonic_ms(self) -> int:
        """See `runtime.clock.Clock`."""
        return int((self._offset_s + self._scheduler.now_s * self._rate) * 1000)

    def wall_ms(self) -> int:
        """See `runtime.clock.Clock`; jumps by what the simulation adds to `wall_offset_ms`."""
        elapsed_ms = int(self._scheduler.now_s * self._rate * 1000)
        return WALL_START_MS + self.wall_offset_ms + elapsed_ms

    # ---- events

    def run(self, event: Event) -> None:
        """Run *event* as this process, now or when it wakes."""
        if self.dead:
            return
        if self.paused:
            self._frozen.append(event)
            return
        asyncio._set_running_loop(self)
        try:
            if event.context is None:
                event.callback(*event.args)
            else:
                event.context.run(event.callback, *event.args)
        finally:
            asyncio._set_running_loop(None)
        self._after_event()

    def call_in(self, callback: Callable[..., Any], *args: Any) -> None:
        """Run *callback* as this process at once: something reached it from outside."""
        self.run(Event(self._scheduler.now_s, self, callback, args, None))

    def pause(self) -> None:
        """As SIGSTOP."""
        self.paused = True

    def wake(self) -> None:
        """As SIGCONT: everything that was due happens now, in order."""
        self.paused = False
        frozen, self._frozen = self._frozen, []
        for event in frozen:
            if not event.cancelled_:
                self._scheduler.push(event)

    def call_soon(
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        """See asyncio."""
        event = Event(self._scheduler.now_s, self, callback, args, context)
        self._scheduler.push(event)
        return event

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        """See asyncio; *when* is the node's own time."""
        event = Event((when - self._offset_s) / self._rate, self, callback, args, context)
        self._scheduler.push(event)
        return event

    def call_later(
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        """See asyncio."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    # ---- futures and tasks

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        """See asyncio."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run *work* as a task of this process; its failure fails the run."""
        task = self.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.remove(task)
        if not task.cancelled() and task.exception() is not None and not self.dead:
            self.failures.append(repr(task.exception()))

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run *func* a little later, as another thread would."""
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - carried to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(0.0005, work)
        return future

    def get_debug(self) -> bool:
        """See asyncio."""
        return False

    def is_running(self) -> bool:
        """See asyncio."""
        return True

    def is_closed(self) -> bool:
        """See asyncio."""
        return self.dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback failed: the run fails, unless it is only that nobody looked at a result."""
        if "never retrieved" not in context["message"] and "pending" not in context["message"]:
            self.failures.append(f"{context['message']}: {context.get('exception')!r}")
