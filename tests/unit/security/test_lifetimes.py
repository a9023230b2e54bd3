"""When certificates end, and the word in time for those who renew their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pydfsnode.security import pki, renewal_advice
from pydfsnode.security.lifetimes import ISSUING, LEAF, ROOT
from pydfsnode.security.renewal_advice import Adviser
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

DAY_S = 86_400


@pytest.fixture
def tls(tmp_path: Path) -> TlsStore:
    return TlsStore.load(make_cluster_certs(tmp_path, {"alice": "user"})["alice"])


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    adviser = Adviser()
    adviser.say = lines.append
    monkeypatch.setattr(renewal_advice, "adviser", adviser)
    return lines


def test_each_certificate_of_the_chain_has_its_lifetime(tls: TlsStore) -> None:
    found = tls.lifetimes
    assert found[LEAF].ends_s == tls.leaf.not_valid_after_utc.timestamp()
    assert abs(found[LEAF].length_s - 2 * DAY_S) < 2, "from its signing, not the back-dated time"
    assert abs(found[ISSUING].left_s(found[ISSUING].ends_s - 5) - 5) < 1e-6
    days = {kind: round(lifetime.length_s / DAY_S) for kind, lifetime in found.items()}
    assert days == {LEAF: 2, ISSUING: pki.ISSUING_DAYS, ROOT: pki.CA_DAYS}


def test_a_reload_brings_the_new_lifetimes(tls: TlsStore, tmp_path: Path) -> None:
    before = tls.lifetimes[LEAF]
    for name in (tls.files.cert, tls.files.key):
        Path(name).unlink()
    pki.issue(tmp_path, tmp_path, "user", "alice", days=9)
    tls.reload()
    assert tls.lifetimes[LEAF].ends_s > before.ends_s + 6 * DAY_S


def test_of_two_roots_the_one_that_ends_first_counts(tls: TlsStore, tmp_path: Path) -> None:
    pki.init_ca(tmp_path / "other", "testcluster")
    other = TlsStore.load(make_cluster_certs(tmp_path / "other", {"bob": "user"})["bob"])
    ends = sorted(store.lifetimes[ROOT].ends_s for store in (tls, other))
    Path(tls.files.ca).write_bytes(other.ca_pem + tls.ca_pem)
    tls.reload()
    assert tls.lifetimes[ROOT].ends_s == ends[0]


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (DAY_S * 2 / 3 - 60, "in 15 hours"),
        (3000, "in 50 minutes"),
        (-5, "it is over"),
    ],
)
def test_in_the_last_third_it_is_said_once_with_the_command(
    tls: TlsStore, said: list[str], left_s: float, words: str
) -> None:
    adviser = renewal_advice.adviser
    ends_s = tls.lifetimes[LEAF].ends_s
    adviser.look(tls, ends_s - DAY_S * 2 / 3 - 60)
    assert said == []
    adviser.look(tls, ends_s - left_s)
    adviser.look(tls, ends_s - left_s)
    (line,) = said
    assert line.startswith(f"the certificate {tls.files.cert} ends on ")
    assert f"{words}: 'pydfsnode certs renew'" in line


def test_days_are_counted_in_days() -> None:
    assert renewal_advice._in_words(9.5 * DAY_S) == "in 9 days"


def test_it_is_looked_at_whenever_a_connection_is_opened(
    tls: TlsStore, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return tls.leaf.not_valid_after_utc - timedelta(hours=3)

    renewal_advice.watch(tls)
    tls.client_context()
    assert said == []
    monkeypatch.setattr(renewal_advice, "datetime", Later)
    tls.client_context()
    tls.client_context()
    assert len(said) == 1
    assert f"{tls.leaf.not_valid_after_utc.astimezone(UTC):%Y-%m-%d %H:%M} UTC" in said[0]


def test_the_library_says_it_in_its_log(tls: TlsStore, capsys: pytest.CaptureFixture[str]) -> None:
    Adviser().look(tls, tls.lifetimes[LEAF].ends_s - 60)
    assert capsys.readouterr().err.startswith("pydfsnode: warning: client: the certificate ")
