"""Every error that people meet says what to do, once."""

from __future__ import annotations

import errno
import socket

import pytest

from pydfsnode import errors
from pydfsnode.cli.advice import advice
from pydfsnode.cli.diagnosis import diagnosed
from pydfsnode.config import ClientConfig, TlsFiles
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import FakeFiles

TLS = TlsFiles(ca="ca", cert="cert", key="key")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.AccessDenied("no"), "'pydfsnode fs chmod'"),
        (errors.QuotaExceeded("full"), "'pydfsnode fs quota show'"),
        (errors.SafeMode("read-only"), "safemode leave"),
        (errors.NoChunkservers("none"), "'pydfsnode cluster report'"),
        (errors.ChunkUnavailable("none"), "'pydfsnode cluster status'"),
        (errors.OutcomeUnknown("lost"), "look before you repeat it"),
        (errors.OtherCluster("other"), "[tls] in the client's configuration"),
        (errors.IssuerUntrusted("expired"), "'pydfsnode certs show FILE'"),
        (errors.CertificateRevoked("revoked"), "'pydfsnode certs issue'"),
        (errors.PeerUnauthenticated("who"), "[tls] in the client's configuration"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "make room"),
    ],
)
def test_a_sentence_for_each(error: Exception, said: str) -> None:
    assert said in advice(error)


def test_advice_is_given_once_for_a_tree(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", "/d/b", "/d/c")
    files.closed |= {"/d/a", "/d/b"}
    lines = run("fs", "chmod", "600", "/d/a", "/d/b").err.splitlines()
    assert [line.count("can allow it") for line in lines] == [1, 0]
    assert all(line.endswith("[2014]") for line in lines)
    assert "can allow it" in run("fs", "chmod", "600", "/d/a").err, "each command anew"


def addresses(*states: str) -> tuple[ClientConfig, list[socket.socket]]:
    """A configuration of masters that are "up", "down" or of an "unknown" host."""
    sockets, masters = [], []
    for number, state in enumerate(states, 1):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        host = "no-such-host.invalid" if state == "unknown" else "127.0.0.1"
        masters.append(f"m{number}={host}:{port}")
        if state == "up":
            sockets.append(listener)
        else:
            listener.close()
    return ClientConfig(masters=masters, tls=TLS), sockets


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("up", "up", "down"), "m1, m2 can be reached: they may be choosing a leader"),
        (("up", "down", "down"), "only m1 of 3 masters can be reached"),
        (("up", "down", "unknown"), "start m2, m3"),
        (("up", "up", "down", "down", "down"), "only m1, m2 of 5 masters can be reached"),
        (("down", "down", "unknown"), "no master can be reached: start them, or correct the"),
        (("unknown", "unknown"), "no master's host name is known here: correct the names"),
    ],
)
def test_without_a_leader_the_masters_that_can_be_reached_are_told(
    states: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, sockets = addresses(*states)
    try:
        error = diagnosed(errors.Unavailable("Stat had no answer", x=1), config, "client.toml")
    finally:
        for listener in sockets:
            listener.close()
    assert type(error) is errors.Unavailable
    assert error.message.startswith("Stat had no answer; ")
    assert said in error.message
    assert error.fields == {"x": 1}


def test_other_errors_stay_as_they_are() -> None:
    config, _ = addresses("down")
    error = errors.NoChunkservers("none")
    assert diagnosed(error, config, "client.toml") is error
