"""docs/security.md says of every method who may call it, as rpc/methods.py does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "docs" / "who_may_call.py"


def test_the_page_has_the_table_of_today() -> None:
    spec = importlib.util.spec_from_file_location("who_may_call", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text() == script.page(), f"run {SCRIPT}"
