"""Asks the leading master for keys of files, by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from pydfsnode.errors import MalformedMessage, NotLeader, Unavailable
from pydfsnode.rpc.pb import dfs_pb2 as pb

FILE_KEYS = "/pydfs.v1.Fleet/FileKeys"
TIMEOUT_MS = 5_000
WAIT_S = 5.0
"""How long a leader is looked for: the next heartbeats tell who it is."""
PAUSE_S = 0.1


class AskLeader(Protocol):
    """Of `MasterLinks`."""

    async def __call__(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Ask the master that says it leads. Raises PydfsError."""
        ...


class FileKeyAsker:
    """What `FileKeys` asks with."""

    def __init__(self, ask_leader: AskLeader) -> None:
        self._ask_leader = ask_leader

    async def fetch(self, chunk_ids: list[int]) -> Mapping[int, bytes]:
        """The keys of those of the chunks whose files have one.

        Raises:
            Unavailable: no master leads. PydfsError: as it answers.
        """
        request = pb.FileKeysRequest(chunk_ids=chunk_ids)
        try:
            async with asyncio.timeout(WAIT_S):
                answer = await self._answer(request)
        except TimeoutError:
            raise Unavailable(f"no leading master answered within {WAIT_S:.0f} s") from None
        if not isinstance(answer, pb.FileKeysResponse):
            raise MalformedMessage(f"{FILE_KEYS} answered with a {type(answer).__name__}")
        return {each.chunk_id: each.key for each in answer.keys}

    async def _answer(self, request: pb.FileKeysRequest) -> Any:
        while True:
            try:
                return await self._ask_leader(FILE_KEYS, request, timeout_ms=TIMEOUT_MS)
            except (NotLeader, Unavailable):  # an election
                await asyncio.sleep(PAUSE_S)
