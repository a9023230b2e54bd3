"""A word in time, once for each process: the certificate of a user or program ends soon.

Nodes renew theirs by themselves. What a user's certificate is for, and where its files are, only he
knows: nothing is renewed behind his back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pydfsnode.obs.log import get_logger
from pydfsnode.security.lifetimes import LEAF
from pydfsnode.security.tls import TlsStore

DUE_SHARE = 1 / 3
"""Of its lifetime: when less is left, it is time to renew. Nodes do so at the same time."""


class Adviser:
    """Says it by the library's log, or by another `say`; `is_told`: it was, or need not be."""

    def __init__(self) -> None:
        self.say: Callable[[str], None] = get_logger("client").warning
        self.is_told = False

    def look(self, tls: TlsStore, now_s: float) -> None:
        """Say that the certificate of *tls* is to be renewed, if it is.

        Args:
            now_s: since 1970-01-01 UTC.
        """
        if self.is_told:
            return
        lifetime = tls.lifetimes[LEAF]
        left_s = lifetime.left_s(now_s)
        if left_s >= lifetime.length_s * DUE_SHARE:
            return
        self.is_told = True
        ends = datetime.fromtimestamp(lifetime.ends_s, UTC)
        self.say(
            f"the certificate {tls.files.cert} ends on {ends:%Y-%m-%d %H:%M} UTC, "
            f"{_in_words(left_s)}: 'pydfsnode certs renew' makes a new one"
        )


def _in_words(left_s: float) -> str:
    if left_s < 0:
        return "it is over"
    days, hours = int(left_s // 86_400), int(left_s // 3600)
    if days >= 2:
        return f"in {days} days"
    return f"in {hours} hours" if hours >= 2 else f"in {int(left_s // 60)} minutes"


adviser = Adviser()
"""This process's."""


def watch(tls: TlsStore) -> None:
    """Look at the certificate of *tls* whenever a connection is opened with it."""
    tls.before_connecting = lambda: adviser.look(tls, datetime.now(UTC).timestamp())
