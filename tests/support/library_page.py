"""The examples of docs/library.md, run one after the other as one program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.cluster import REPOSITORY, Cluster

SECONDS_MAX = 120
_TOOLS = "\n## fsspec"


def examples(*, of_tools: bool) -> list[str]:
    """The Python blocks of the page: those of the tools for tables, or all others."""
    page = (REPOSITORY / "docs" / "library.md").read_text()
    before, heading, after = page.partition(_TOOLS)
    assert heading, "the page has no such section any more"
    section, following, rest = after.partition("\n## ")
    text = section if of_tools else before + following + rest
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run_examples(cluster: Cluster, blocks: list[str], directory: Path) -> str:
    """What *blocks* print, run in *directory*; fails the test when they do."""
    script = directory / "examples.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, script], env=cluster.environment, capture_output=True, text=True,
        timeout=SECONDS_MAX, cwd=directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
