"""What users and administrators did is in the nodes' trails, once; what was changed shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("audit") / "dev", masters=3, chunkservers=3) as cluster:
        yield cluster


def trails(cluster: Cluster) -> list[Path]:
    return [cluster.directory / "nodes" / f"m{number}" / "data-audit" for number in (1, 2, 3)]


def found(cluster: Cluster, *filters: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(
        cluster.run("audit", "search", *trails(cluster), *filters, "--json")
    )
    return records


def test_each_act_appears_once_with_who_and_what_came_of_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    content = tmp_path / "content"
    content.write_bytes(b"the content is in no trail" * 9)
    bob = cluster.config_of("bob")
    cluster.run("fs", "put", content, "/report")
    refused = cluster.command("fs", "rm", "/report", "--skip-trash", "--config", bob)
    assert refused.returncode == 1
    assert cluster.command("cluster", "safemode", "enter", "--config", bob).returncode == 1
    cluster.run("fs", "mv", "/report", "/kept")
    cluster.run("fs", "rm", "--skip-trash", "/kept")
    cluster.run("cluster", "safemode", "enter")
    cluster.run("cluster", "safemode", "leave")
    wait_until("all is written", lambda: len(found(cluster, "--cmd", "setSafeMode")) == 2)

    (put,) = found(cluster, "--path", "/report", "--cmd", "create")
    assert (put["user"], put["ip"], put["outcome"]) == ("root", "127.0.0.1", "ok")
    assert len(put["request_id"]) > 0
    assert len(put["trace_id"]) == 32
    (moved,) = found(cluster, "--cmd", "rename")
    assert (moved["src"], moved["dst"]) == ("/report", "/kept")
    (removed,) = found(cluster, "--path", "/kept", "--cmd", "delete")
    assert removed["outcome"] == "ok"
    denied = found(cluster, "--user", "bob", "--denied")
    told = {(r["cmd"], r["src"], r["outcome"]) for r in denied}
    assert ("delete", "/report", "AccessDenied") in told
    assert ("call", "/pydfs.v1.Cluster/SetSafeMode", "role") in told
    ordered = found(cluster, "--cmd", "setSafeMode")
    assert [json.loads(r["detail"]) for r in ordered] == [{"on": True}, {"on": False}]
    assert found(cluster, "--cmd", "becomeLeader")
    for trail in trails(cluster):
        assert all(b"the content is" not in file.read_bytes() for file in trail.iterdir())


def verified(
    cluster: Cluster, paths: Sequence[object], *more: object
) -> tuple[int, dict[str, Any]]:
    ca = cluster.directory / "certs" / "ca.crt"
    done = cluster.command("audit", "verify", *paths, "--ca", ca, "--json", *more)
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def only_bad(report: dict[str, Any]) -> dict[str, Any]:
    (bad,) = (trail for trail in report["trails"] if trail["bad"])
    return {name: bad[name] for name in ("node", "bad_seq", "bad")}


def test_chunkservers_keep_trails_that_verify_with_the_masters_word(cluster: Cluster) -> None:
    own = [cluster.data_dir(name) for name in ("c1", "c2", "c3")]
    wait_until("the chunkservers' trails are signed", lambda: len(signed(cluster)) == 6)
    named = [option for place in own for option in ("--data-dir", place)]
    code, report = verified(cluster, named, "--cluster")
    assert (code, report["ok"]) == (0, True)
    assert {trail["node"] for trail in report["trails"]} == {"c1", "c2", "c3"}
    assert all(trail["proven_seq"] > 0 for trail in report["trails"])
    told = cluster.run("audit", "search", *named, "--cmd", "chunkKeys", "--json")
    assert {record["node"] for record in json.loads(told)} == {"c1", "c2", "c3"}
    tailed = cluster.run("audit", "tail", *named, "--no-follow", "--cmd", "begin", "-n", "100")
    assert len(tailed.splitlines()) == 3


def signed(cluster: Cluster) -> dict[str, int]:
    """Up to which record each node has signed its trail, as the masters hold it."""
    kept = json.loads(cluster.run("audit", "checkpoints"))
    return {each["node"].rpartition("/")[2]: each["seq"] for each in kept}


def test_one_flipped_byte_and_a_cut_end_are_found(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("fs", "mkdir", "/verified")

    (made,) = found(cluster, "--path", "/verified", "--cmd", "mkdirs")

    def is_known() -> bool:
        kept = signed(cluster)
        return kept.keys() >= {"m1", "m2", "m3"} and kept[made["node"]] >= made["seq"]

    wait_until("all masters signed their trails", is_known)
    assert verified(cluster, trails(cluster), "--cluster")[0] == 0
    exported = tmp_path / "checkpoints.json"
    exported.write_text(cluster.run("audit", "checkpoints"))
    copies = [Path(shutil.copytree(trail, tmp_path / str(trail.parent.name)))
              for trail in trails(cluster)]  # fmt: skip
    code, report = verified(cluster, copies, "--checkpoints", exported)
    assert (code, report["ok"]) == (0, True)
    assert all(trail["proven_seq"] > 0 for trail in report["trails"])

    (file,) = (tmp_path / made["node"]).iterdir()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    lines[made["seq"] - 1] = lines[made["seq"] - 1].replace(b"/verified", b"/verifiee")
    file.write_bytes(b"".join(lines))
    code, report = verified(cluster, copies)
    bad = only_bad(report)
    assert (code, bad["node"], bad["bad_seq"]) == (1, made["node"], made["seq"])

    file.write_bytes(lines[0])
    code, report = verified(cluster, copies, "--checkpoints", exported)
    bad = only_bad(report)
    assert (code, bad["node"], bad["bad_seq"]) == (1, made["node"], 2)
    assert "cut off" in bad["bad"]
