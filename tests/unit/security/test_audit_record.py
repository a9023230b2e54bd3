"""Both formats say the same, and no name can break out of its field."""

from __future__ import annotations

from hashlib import sha256

import pytest

from pydfsnode.security.audit.record import FORMATS, Format, Record, What, Who
from tests.unit.security.audit_rig import ALICE, START_MS

ODD = ["/a", "/tab\tand\nnewline\r", '/"quoted"\\', "/x\x00\x1f\x7f", "/ä€\U0001f600", "null", ""]


@pytest.fixture(params=sorted(FORMATS))
def form(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.mark.parametrize("name", ODD)
def test_what_was_written_is_read_again(form: Format, name: str) -> None:
    path = f"/{name}"
    what = What("rename", path, None, False, "AccessDenied", name)
    bodies = form.bodies(START_MS, "m1", "namespace", ALICE, [what, what._replace(dst=path)])
    blob, digest = form.chain(bodies, 7, "0" * 64)
    first, second, rest = blob.split(b"\n")
    assert rest == b""
    assert digest == sha256(second).hexdigest()
    assert form.parse(first) == Record(
        seq=7, time="2026-11-23T17:13:20.123Z", node="m1", kind="namespace", cmd="rename",
        allowed=False, outcome="AccessDenied", prev="0" * 64, user="alice", role="user",
        ip="10.0.0.9", port=5123, transport="framed", request_id="request-1", trace_id="f" * 32,
        src=path, dst=None, detail=name,
    )  # fmt: skip
    assert (form.parse(second).dst, form.parse(second).prev) == (path, sha256(first).hexdigest())


def test_the_fields_of_hdfs_come_first_and_as_it_writes_them() -> None:
    form = FORMATS["hdfs"]
    (body,) = form.bodies(START_MS, "m1", "namespace", ALICE, [What("mkdirs", "/a")])
    assert body.startswith(
        "2026-11-23 17:13:20,123 INFO pydfsnode.audit: allowed=true\tugi=alice (auth:TLS)\t"
        "ip=/10.0.0.9\tcmd=mkdirs\tsrc=/a\tdst=null\tperm=null\tproto=rpc\t"
    )


def test_whom_a_gateway_acts_for_is_named_with_it(form: Format) -> None:
    who = ALICE._replace(via="gateway/g1")
    blob, _ = form.chain(form.bodies(0, "m1", "namespace", who, [What("mkdirs", "/a")]), 1, "0")
    read = form.parse(blob[:-1])
    assert (read.user, read.role, read.via) == ("alice", "user", "gateway/g1")


def test_hdfs_words_whom_a_gateway_acts_for_as_a_proxy_user() -> None:
    who = ALICE._replace(via="gateway/g1")
    (body,) = FORMATS["hdfs"].bodies(0, "m1", "namespace", who, [What("mkdirs", "/a")])
    assert "\tugi=alice (auth:PROXY) via gateway/g1 (auth:TLS)\tip=/10.0.0.9\t" in body


def test_who_is_not_known_is_empty(form: Format) -> None:
    blob, _ = form.chain(form.bodies(0, "m1", "trail", Who(), [What("begin")]), 1, "0" * 64)
    read = form.parse(blob[:-1])
    assert (read.user, read.ip, read.port, read.time) == ("", "", 0, "1970-01-01T00:00:00.000Z")


@pytest.mark.parametrize("line", [b"", b"{}", b"x", b"\xff", b"2026 INFO pydfsnode.audit: a=b"])
def test_another_line_is_refused(form: Format, line: bytes) -> None:
    with pytest.raises(ValueError):
        form.parse(line)
