"""`--rewrite`: the transcripts get the answers of today instead of being compared with them."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write the answers in raft transcripts anew"
    )
