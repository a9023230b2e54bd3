"""`fs put` of a tree that survives a failover, an interruption and a kill, and is then whole."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode import limits
from tests.support.cluster import COMMAND_SECONDS_MAX, Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FILES = int(os.environ.get("PYDFSNODE_TEST_FILES", "300"))
"""5,000 by hand: `PYDFSNODE_TEST_FILES=5000`."""
SIZES = (0, 100, 3000, 5000, 20_000, 70_000)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source") / "tree"
    chance = random.Random(11)
    for number in range(FILES):
        path = root / f"d{number % 20}" / f"e{number % 3}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.choice(SIZES)))
    return root


class Copying:
    """`fs put` in the background."""

    def __init__(self, cluster: Cluster, *arguments: object) -> None:
        self._target = str(arguments[-1])
        self._cluster = cluster
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pydfsnode", "fs", "put", *map(str, arguments)],
            env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait_for(self, files: int) -> None:
        """Until that many are in the cluster."""
        with self._cluster.connect() as fs:
            wait_until(
                f"{files} files are there",
                lambda: fs.exists(self._target) and fs.summary(self._target).files >= files,
            )
        assert self.process.poll() is None, "it must still be copying"

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and error."""
        out, err = self.process.communicate(timeout=COMMAND_SECONDS_MAX)
        return self.process.returncode, out, err


def verify(cluster: Cluster, tree: Path, target: str, back: Path) -> None:
    """Nothing is open, and what is read is what was written."""
    with cluster.connect() as fs:
        assert [entry.path for entry in fs.find(target) if entry.under_construction] == []
    cluster.run("fs", "get", "--verify", target, back)
    for path in tree.rglob("*"):
        if path.is_file():
            assert (back / path.relative_to(tree)).read_bytes() == path.read_bytes(), path


def test_a_put_finishes_although_the_leader_is_killed(
    cluster: Cluster, tree: Path, tmp_path: Path
) -> None:
    copying = Copying(cluster, tree, "/failover")
    copying.wait_for(FILES // 6)
    leader = cluster.leader()
    cluster.kill(leader)
    code, out, err = copying.end()
    assert code == 0, err
    assert out.startswith(f"copied {FILES:,} files")
    assert "failure" not in out
    cluster.up()
    verify(cluster, tree, "/failover", tmp_path / "back")


def test_after_ctrl_c_and_a_kill_only_the_rest_is_copied(
    cluster: Cluster, tree: Path, tmp_path: Path
) -> None:
    first = Copying(cluster, tree, "/resumed")
    first.wait_for(FILES // 6)
    first.process.send_signal(signal.SIGINT)
    code, _, err = first.end()
    assert code == 130
    said = re.search(r"interrupted: copied ([\d,]+) files?, .*'fs put --resume'", err)
    assert said is not None, err
    with cluster.connect() as fs:
        open_files = [entry.path for entry in fs.find("/resumed") if entry.under_construction]
        whole = fs.summary("/resumed").files
    assert open_files == []
    assert whole >= int(said[1].replace(",", ""))

    second = Copying(cluster, "--resume", tree, "/resumed")
    second.wait_for(whole + FILES // 6)
    second.process.kill()  # what it was writing stays open
    second.end()

    with cluster.connect() as fs:
        there = sum(not entry.under_construction and entry.type == "file"
                    for entry in fs.find("/resumed"))  # fmt: skip
    out = cluster.run("fs", "put", "--resume", tree, "/resumed")
    done = re.match(r"copied ([\d,]+) files?, .*, ([\d,]+) skipped$", out)
    assert done is not None, out
    copied, skipped = (int(number.replace(",", "")) for number in done.groups())
    assert copied + skipped == FILES
    assert skipped >= there >= whole
    verify(cluster, tree, "/resumed", tmp_path / "back")
    assert f" {FILES:,} skipped" in cluster.run("fs", "put", "--resume", tree, "/resumed")


def test_a_get_goes_on_too(cluster: Cluster, tree: Path, tmp_path: Path) -> None:
    cluster.run("fs", "put", tree / "d1", "/got")
    back = tmp_path / "back"
    cluster.run("fs", "get", "/got", back)
    files = [path for path in back.rglob("*") if path.is_file()]
    files[0].unlink()
    size = files[1].stat().st_size
    files[1].write_bytes(bytes(size) + b"x")  # another content is told, not lost
    done = cluster.command("fs", "get", "--resume", "/got", back)
    assert done.returncode == 1
    assert "exists with another content" in done.stderr
    assert done.stdout.startswith("copied 1 file, ")
    assert f"{len(files) - 2} skipped, 1 failure" in done.stdout
    assert cluster.run("fs", "get", "--resume", "-f", "/got", back).startswith("copied 1 file, ")


def test_a_get_goes_on_within_a_large_file(cluster: Cluster, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(80 * limits.MIB)
    (tmp_path / "f").write_bytes(data)
    cluster.run("fs", "put", "-l", tmp_path / "f", "/large")
    back = tmp_path / "back"
    back.mkdir()
    for left in (1000, 64 * limits.MIB + 5):
        (back / ".large.0123abcd.part").write_bytes(data[:left])  # as a killed one leaves it
        done = json.loads(cluster.run("fs", "get", "--resume", "--json", "/large", back))
        assert (done["files"], done["bytes"]) == (1, len(data) - left)
        assert (back / "large").read_bytes() == data
        assert [path.name for path in back.iterdir()] == ["large"]
        (back / "large").unlink()


def test_ctrl_c_ends_a_put_that_waits_for_a_silent_input(cluster: Cluster) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "pydfsnode", "fs", "put", "-", "/silent"],
        env=cluster.environment, stdin=reading, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        os.close(reading)
        os.write(writing, b"x" * 200_000)
        with cluster.connect() as fs:
            wait_until("it reads", lambda: _drained(writing))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert (process.returncode, err.strip()) == (130, "")
            assert not fs.exists("/silent")
    finally:
        os.close(writing)


def _drained(pipe: int) -> bool:
    import array
    import fcntl
    import termios

    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] == 0
