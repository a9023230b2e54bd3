"""A load on a cluster in a thread with an event loop of its own: a test may meanwhile wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.config import load_client_config


class BackgroundLoad(ABC):
    """A context manager: works from `__enter__` until `stop` or `__exit__`.

    Args:
        config: a client.toml.
        root: a directory that does not exist yet; all is made below it.
        timeout_ms: of one operation of the client with all its attempts.
    """

    def __init__(self, config: Path, root: str, timeout_ms: int) -> None:
        self.root = root
        self._config = config
        self._timeout_ms = timeout_ms
        self._stop = threading.Event()
        self._crash: list[BaseException] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"{type(self).__name__} {root}")

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._wait_for_first()
        except BaseException:
            self._break_off()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self._break_off()

    def _break_off(self) -> None:
        """End at once: the test failed, and nobody wants the end of what is under way."""
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it ended by itself just now
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def stop(self) -> None:
        """Begin nothing more, and return when the last operation was answered or given up."""
        self._stop.set()
        self._thread.join()
        self._raise_crash()

    def _raise_crash(self) -> None:
        if self._crash:
            raise self._crash[0]

    @abstractmethod
    def _wait_for_first(self) -> None:
        """Return when it is under way."""

    @abstractmethod
    async def _load(self, fs: AsyncFileSystem) -> None:
        """Work until `_stop` is set."""

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._connect_and_load())
        except BaseException as error:  # noqa: BLE001 - told to who waits for this thread
            self._crash.append(error)

    async def _connect_and_load(self) -> None:
        settings = load_client_config(self._config)
        settings.timeout_ms = self._timeout_ms
        async with await AsyncFileSystem.connect(settings) as fs:
            await self._load(fs)
