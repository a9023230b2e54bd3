"""The examples of docs/library.md do what they say, one after the other, in a real cluster.

Those of the tools for tables: see `test_library_tools.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import REPOSITORY, Cluster
from tests.support.library_page import examples, run_examples

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("docs") / "dev") as cluster:
        yield cluster


def test_the_examples_run(cluster: Cluster, tmp_path: Path) -> None:
    blocks = examples(of_tools=False)
    assert len(blocks) >= 7
    assert "/nothing" in run_examples(cluster, blocks, tmp_path)


def test_importing_the_package_imports_little() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import pydfsnode, sys; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not {"asyncio", "grpc", "fsspec", "msgspec", "pydfsnode.client"} & set(loaded)
