"""Every filter finds what it names and nothing else, in the trails of several nodes by time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode.security.audit.record import What, Who
from pydfsnode.security.audit.search import Following, Query, search_trails
from tests.unit.security.audit_rig import ALICE, TrailRig, record


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The trails of a master and a chunkserver, in which things happen in turns."""
    m1, c1 = TrailRig(tmp_path, "m1"), TrailRig(tmp_path, "c1")
    of_m1, of_c1 = m1.open(), c1.open("hdfs")
    record(of_m1, "/a/b")
    c1.now_s = m1.now_s = 1
    forged = What("readBlock", "chunk:7", None, False, "CapabilityRefused", '{"reason":"forged"}')
    of_c1.append("chunk", Who("eve", "user", "h:1"), [forged])
    c1.now_s = m1.now_s = 2
    of_m1.append("namespace", ALICE._replace(via="gateway/g1"), [What("rename", "/x", "/a/c")])
    of_m1.stop()
    of_c1.stop()
    return tmp_path


def found(directory: Path, **filters: object) -> list[str | None]:
    query = Query(**filters)  # type: ignore[arg-type]
    return [r.src for r in search_trails([directory], query) if r.kind != "trail"]


def test_all_are_in_the_order_of_time(directory: Path) -> None:
    assert found(directory) == ["/a/b", "chunk:7", "/x"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"user": "alice"}, ["/a/b", "/x"]),
        ({"via": "gateway/g1"}, ["/x"]),
        ({"path": "/a"}, ["/a/b", "/x"]),
        ({"path": "/a/b/"}, ["/a/b"]),
        ({"cmd": "rename"}, ["/x"]),
        ({"kind": "chunk"}, ["chunk:7"]),
        ({"outcome": "CapabilityRefused"}, ["chunk:7"]),
        ({"request_id": "request-1"}, ["/a/b", "/x"]),
        ({"denied": True}, ["chunk:7"]),
        ({"since": "2026-11-23T17:13:21"}, ["chunk:7", "/x"]),
        ({"until": "2026-11-23T17:13:21"}, ["/a/b"]),
    ],
)
def test_each_filter(directory: Path, filters: dict[str, object], expected: list[str]) -> None:
    assert found(directory, **filters) == expected


def test_what_is_appended_is_followed(directory: Path) -> None:
    following = Following([directory], Query(kind="chunk"), lines=10)
    assert [r.src for r in following.step()] == ["chunk:7"]
    assert following.step() == []
    trail = TrailRig(directory, "c1").open("hdfs")
    trail.append("chunk", ALICE, [What("readBlock", "chunk:8")])
    trail.stop()
    assert [r.src for r in following.step()] == ["chunk:8"]
