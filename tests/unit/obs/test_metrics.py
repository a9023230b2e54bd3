"""The table of metrics and what is made from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pydfsnode import errors
from pydfsnode.errors import InvariantViolation
from pydfsnode.obs import metrics as obs_metrics
from pydfsnode.obs.metrics import LABELS, ROWS, TABLE, UNITS, Metrics
from pydfsnode.rpc.methods import METHODS


def value(made: Metrics, name: str, **labels: str) -> float | None:
    return made.registry.get_sample_value(obs_metrics.PREFIX + name, labels)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_name_ends_in_its_unit_and_a_counters_in_total(row: obs_metrics.Row) -> None:
    unit = row.name.rsplit("_", 1)[-1]
    assert unit in UNITS
    assert (unit == "total") == (row.kind == "counter")
    assert row.name == row.name.lower()
    assert row.help.endswith(".")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_labels_come_from_the_closed_set(row: obs_metrics.Row) -> None:
    assert set(row.labels) <= set(LABELS)
    assert len(set(row.labels)) == len(row.labels)


def test_each_name_and_each_declared_label_is_used_once() -> None:
    assert len(ROWS) == len(TABLE)
    assert {label for row in TABLE for label in row.labels} == set(LABELS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_histograms_have_rising_buckets_and_others_none(row: obs_metrics.Row) -> None:
    assert bool(row.buckets) == (row.kind == "histogram")
    assert list(row.buckets) == sorted(set(row.buckets))


def test_open_label_sets_have_room_for_what_they_name() -> None:
    assert isinstance(LABELS["method"], int)
    assert len(METHODS) < LABELS["method"]
    assert isinstance(LABELS["code"], int)
    assert len(errors.BY_CODE) + 8 < LABELS["code"]


def test_a_bound_child_is_the_same_object_each_time() -> None:
    made = Metrics()
    child = made.counter("rpc_requests_total", "/s/m", "ok", "framed")
    assert made.counter("rpc_requests_total", "/s/m", "ok", "framed") is child
    child.inc()
    child.inc(2)
    labels = {"method": "/s/m", "code": "ok", "transport": "framed"}
    assert value(made, "rpc_requests_total", **labels) == 3


def test_metrics_without_labels_are_bound_too() -> None:
    made = Metrics()
    made.gauge("raft_term").set(4)
    made.histogram("raft_fsync_seconds").observe(0.002)
    assert value(made, "raft_term") == 4
    assert value(made, "raft_fsync_seconds_count") == 1


def test_every_row_can_be_bound_and_shows_in_the_text() -> None:
    made = Metrics()
    for row in TABLE:
        labels = [v[0] if isinstance(v := LABELS[name], tuple) else "x" for name in row.labels]
        getattr(made, row.kind)(row.name, *labels)
    text = made.render().decode()
    for row in TABLE:
        assert f"# TYPE pydfs_{row.name} {row.kind}" in text
    assert "_created" not in text


def test_a_value_outside_a_closed_set_is_counted_as_other() -> None:
    made = Metrics()
    made.counter("rpc_protocol_errors_total", "made-up").inc()
    made.counter("rpc_protocol_errors_total", "another").inc()
    assert value(made, "rpc_protocol_errors_total", kind="other") == 2


def test_a_flood_of_new_label_values_cannot_fill_memory() -> None:
    made = Metrics()
    allowed = LABELS["page"]
    assert isinstance(allowed, int)
    for number in range(1000):
        made.counter("http_requests_total", f"/{number}", "200").inc()
    assert value(made, "http_requests_total", page="other", code="200") == 1000 - allowed
    assert len(made._children) == allowed


def test_a_name_without_a_row_a_wrong_kind_and_missing_labels_are_refused() -> None:
    made = Metrics()
    with pytest.raises(InvariantViolation, match="'no_such_total' has no row"):
        made.counter("no_such_total")
    with pytest.raises(InvariantViolation, match="is a gauge, not a counter"):
        made.counter("raft_term")
    made.gauge("raft_term")
    with pytest.raises(InvariantViolation, match="is a gauge, not a histogram"):
        made.histogram("raft_term")
    with pytest.raises(InvariantViolation, match="has labels"):
        made.counter("rpc_requests_total", "/s/m")


def test_a_counter_follows_a_total_that_is_kept_elsewhere() -> None:
    made = Metrics()
    totals = {"old": 3, "new": 2}
    made.follow("namespace_reads_total", lambda: totals["old"], "lease")
    for total in (3, 5, 5):
        totals["old"] = total
        made.render()
        assert value(made, "namespace_reads_total", mode="lease") == total
    made.follow("namespace_reads_total", lambda: totals["new"], "lease")
    made.render()
    assert value(made, "namespace_reads_total", mode="lease") == 7


def test_the_process_has_one_set_of_metrics() -> None:
    assert obs_metrics.metrics() is obs_metrics.metrics()
    counter = obs_metrics.metrics().counter("http_requests_total", "/process", "200")
    counter.inc(17)
    sample = b'pydfs_http_requests_total{code="200",page="/process"} 17.0'
    assert sample in obs_metrics.render()


def test_importing_the_table_does_not_import_prometheus() -> None:
    code = "import sys, pydfsnode.obs.metrics; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "prometheus_client" not in modules
