"""Owns every task of a node: a task that fails unexpectedly stops the node (INV-STOP)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from pydfsnode.errors import ConfigError, InvariantViolation, PydfsError
from pydfsnode.obs.log import get_logger

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 70

_log = get_logger("runtime.supervisor")


class Supervisor:
    """Make it inside the running loop.

    `failed` resolves to the first failure; `stopping` is set when the node was asked to stop or
    failed.
    """

    def __init__(self) -> None:
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run *work* as a task that this supervisor owns; its failure is the node's.

        It is in the scope of no request, whose end must not be its own.
        """
        task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
        self._tasks[task] = name
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        name = self._tasks.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error, name)

    def fail(self, error: BaseException, where: str) -> None:
        """Stop the node because of *error* in *where*; only the first one counts."""
        _log.error(
            "the node stops",
            where=where,
            error=str(error) or repr(error),
            kind=type(error).__name__,
            exc_info=error,
        )
        if not self.failed.done():
            self.failed.set_result(error)
        self.stopping.set()

    def request_stop(self, reason: str) -> None:
        """Ask the node to stop in order, as on SIGTERM."""
        _log.info("stop requested", reason=reason)
        self.stopping.set()

    async def run_until_stopped(self) -> int:
        """Wait for `request_stop` or a failure; return the exit code. The caller then stops."""
        await self.stopping.wait()
        return exit_code(self.failure)

    @property
    def failure(self) -> BaseException | None:
        """The first failure, None while there is none."""
        return self.failed.result() if self.failed.done() else None

    async def stop(self) -> None:
        """Cancel the tasks, the youngest first, and wait for each."""
        while self._tasks:
            task = next(reversed(self._tasks))
            task.cancel()
            await asyncio.wait([task])


def exit_code(failure: BaseException | None) -> int:
    """The process's exit code: 0 done, 1 failed, 2 wrong configuration, 70 internal."""
    if failure is None:
        return EXIT_DONE
    if isinstance(failure, InvariantViolation) or not isinstance(failure, PydfsError):
        return EXIT_INTERNAL
    return EXIT_USAGE if isinstance(failure, ConfigError) else EXIT_FAILED


def operator_message(failure: BaseException) -> str:
    """One sentence or two for the person at the terminal: what happened and what to do."""
    if isinstance(failure, PydfsError):
        return failure.message
    return (
        f"internal error ({type(failure).__name__}: {failure}); the log holds the traceback: "
        "please report it, and start the node again"
    )
