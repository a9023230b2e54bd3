"""The examples of docs/library.md do what they say, one after the other, in a real cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import REPOSITORY, Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PAGE = REPOSITORY / "docs" / "library.md"
SECONDS_MAX = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("docs") / "dev") as cluster:
        yield cluster


def examples() -> list[str]:
    """The Python blocks of the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_run(cluster: Cluster, tmp_path: Path) -> None:
    blocks = examples()
    assert len(blocks) >= 8
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, script], env=cluster.environment, capture_output=True, text=True,
        timeout=SECONDS_MAX, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "/nothing" in done.stdout


def test_importing_the_package_imports_little() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import pydfsnode, sys; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not {"asyncio", "grpc", "fsspec", "msgspec", "pydfsnode.client"} & set(loaded)
