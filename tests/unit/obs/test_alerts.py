"""Alert rules ask for metrics, labels and values that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pydfsnode.obs.metrics import LABELS, PREFIX, ROWS

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "alerts.yml"
DOCUMENTED = Path(__file__).parents[3] / "docs" / "operations.md"
ASKED = re.findall(rf"{PREFIX}(\w+)(?:{{(\w+)=~?\"([^\"]*)\"}})?", RULES.read_text())


@pytest.mark.parametrize(("name", "label", "values"), sorted(set(ASKED)))
def test_a_rule_asks_for_what_is_there(name: str, label: str, values: str) -> None:
    row = ROWS[name]
    if label:
        assert label in row.labels
        known = LABELS[label]
        assert isinstance(known, tuple)
        assert set(values.split("|")) <= set(known)


def test_every_rule_says_what_to_do() -> None:
    alerts = re.split(r"\n +- alert: ", RULES.read_text())[1:]
    assert len(alerts) >= 3
    asked = {name for name, _, _ in ASKED}
    assert asked >= {
        "certificate_expires_seconds", "audit_failing_boolean", "audit_dropped_total",
    }  # fmt: skip
    documented = DOCUMENTED.read_text()
    for alert in alerts:
        assert f"`{alert.split()[0]}`" in documented
        for part in ("expr: ", "severity: ", "summary: ", "description: "):
            assert part in alert
