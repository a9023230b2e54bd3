"""`pydfsnode keys`: what is asked of the cluster, what is printed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pydfsnode.cli import keys
from pydfsnode.client.key_state import ChunkserverKeys, FileKeyState, KeyState, MasterKeys

M1 = MasterKeys("m1", 2, [2], "file /k", "ab12", "", 10, 0, 7, "")
C1 = ChunkserverKeys("c1", True, 2, 0, 3, 2)
DONE = KeyState(2, [1, 2], [M1], [C1])
BUSY = KeyState(
    2, [1, 2],
    [replace(M1, epochs=[1, 2], phase="re-sealing", rows_seen=12345, rows_stale=6)],
    [replace(C1, verified_epoch=0, stale_chunks=4)],
)  # fmt: skip


class Keys:
    """Answers as `KeyCalls`, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.states = [DONE]

    def _next(self, what: str) -> KeyState:
        self.asked.append(what)
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def state(self) -> KeyState:
        return self._next("state")

    async def rotate(self) -> KeyState:
        return self._next("rotate")

    async def rotate_kek(self) -> KeyState:
        return self._next("rotate_kek")


class FileSystem:
    def __init__(self, keys: Keys) -> None:
        self.keys = keys


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Keys:
    found = Keys()

    def run(work: Callable[[Any], Any], timeout_ms: int | None = None) -> Any:
        return asyncio.run(work(FileSystem(found)))

    monkeypatch.setattr(keys, "with_file_system", run)
    monkeypatch.setattr(keys, "_POLL_S", 0.0)
    return found


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(keys.group, arguments)


def test_status_says_who_is_done_and_how_far_the_others_are(cluster: Keys) -> None:
    calm = invoke("status").output
    assert "m1      2         2          ab12  file /k   done" in calm
    assert "c1           2           2           done" in calm
    cluster.states = [BUSY]
    busy = invoke("status").output
    assert "re-sealing: 12,345 rows seen, 6 of them old, 7 sealed anew" in busy
    assert "re-sealing: 3 chunks done, 4 known left" in busy
    assert "1, 2" in busy


def test_status_says_what_is_not_forgotten_yet(cluster: Keys) -> None:
    assert "key of their own" not in invoke("status").output
    files = FileKeyState(held=1234, removed=5, waiting=2, due_ms=1_700_000_000_000, orders=1)
    cluster.states = [replace(DONE, files=files, masters=[M1, replace(M1, id="m2", forgot=1)])]
    told = invoke("status").output
    assert "Files with a key of their own: 1,234." in told
    assert "Keys of deleted ones: 2, to be forgotten from 2023-11-1" in told
    assert "being forgotten by m1." in told


def test_status_as_json_has_every_number(cluster: Keys) -> None:
    found = json.loads(invoke("status", "--json").output)
    assert found["masters"][0]["epochs"] == [2]
    assert found["chunkservers"][0]["verified_epoch"] == 2
    assert found["rotation"] == 2


def test_rotate_returns_at_once_or_waits_for_everybody(cluster: Keys) -> None:
    cluster.states = [BUSY]
    assert invoke("rotate").exit_code == 0
    assert cluster.asked == ["rotate"]
    cluster.states = [BUSY, BUSY, DONE]
    assert "done" in invoke("rotate", "--wait").output
    assert cluster.asked == ["rotate", "rotate", "state", "state"]


def test_a_kek_that_was_not_changed_everywhere_is_a_failure(cluster: Keys) -> None:
    assert invoke("rotate", "--kek").exit_code == 0
    cluster.states = [replace(DONE, masters=[M1, replace(M1, id="m2", problem="no such key")])]
    failed = invoke("rotate", "--kek")
    assert failed.exit_code == 1
    assert "no such key" in failed.output
    assert "not done by m2" in failed.output
    assert cluster.asked == ["rotate_kek", "rotate_kek"]


@pytest.mark.parametrize(
    ("master", "server", "behind"),
    [
        (M1, C1, []),
        (replace(M1, rotation=1), C1, ["m1"]),
        (replace(M1, epochs=[1, 2]), C1, ["m1"]),
        (replace(M1, problem="gone"), C1, ["m1"]),
        (M1, replace(C1, verified_epoch=1), ["c1"]),
        (M1, replace(C1, verified_epoch=1, live=False), []),
    ],
)
def test_who_is_behind(master: MasterKeys, server: ChunkserverKeys, behind: list[str]) -> None:
    assert KeyState(2, [2], [master], [server]).behind == behind
    text = " ".join([keys._master_text(master, 2), keys._server_text(server, 2)])
    assert (text == "done done") is (not behind and server.live)
