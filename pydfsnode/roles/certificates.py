"""A node's own certificate over time: follows the cluster's trust, renews, takes changed files.

Once a second the leader is told what this node has and tells what it shall have: which roots to
believe, which certificates were revoked, whether its own is to be renewed. What was revoked is kept
in the data directory, so that a node that starts without any master refuses the same peers.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from pydfsnode.errors import CertificateInvalid, PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc.trust_calls import Ask, OwnCertificate, TrustCalls
from pydfsnode.runtime.clock import Clock
from pydfsnode.security.files import replace_file
from pydfsnode.security.lifetimes import KINDS
from pydfsnode.security.replacing import replace_certificate
from pydfsnode.security.tls import TlsStore

FILE_NAME = "revoked.json"
LOOK_S = 1.0
RETRY_MS = 10_000
RENEW_SHARE, JITTER_SHARE = 2 / 3, 1 / 20
"""Renewal is due after this share of the lifetime, give or take the other."""
_log = get_logger("roles.certificates")


class CertificateKeeper:
    """See the module; `run` until cancelled.

    Args of the constructor:
        directory: the node's own, for what must outlive a restart.
        ask: how the leading master is asked.
    """

    def __init__(
        self, tls: TlsStore, directory: Path, ask: Ask, clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self._tls = tls
        self._path = directory / FILE_NAME
        self._calls = TrustCalls(ask)
        self._clock = clock
        self._version = ""
        self._problem = ""
        self._not_before_ms = 0
        self._jitter = (2 * draw() - 1) * JITTER_SHARE
        _show_lifetimes(tls, clock)
        self._load()

    async def run(self) -> None:
        """Follow and renew."""
        while True:
            await self.step()
            await asyncio.sleep(LOOK_S)

    async def step(self) -> None:
        """Ask once, and do what is to be done."""
        try:
            answer = await self._calls.follow(self._version, self._report())
            if answer.can_sign and self._is_due(answer.renew_before_ms):
                await self._renew()
            if answer.changed:
                await self._follow(answer.roots_pem, answer.revoked)
                self._version = answer.version
        except CertificateInvalid as error:
            self._trouble(error.message)
        except PydfsError as error:
            _log.debug("no answer on certificates", why=error.message)
        except OSError as error:
            self._trouble(f"{error.filename}: cannot be written: {error.strerror}")

    def _report(self) -> OwnCertificate:
        from pydfsnode.security.issuing import pin_of
        from pydfsnode.security.profile import signed_at

        leaf = self._tls.leaf
        return OwnCertificate(
            serial=f"{leaf.serial_number:x}",
            signed_at_ms=int(signed_at(leaf).timestamp() * 1000),
            not_after_ms=int(leaf.not_valid_after_utc.timestamp() * 1000),
            issuer_sha256=self._tls.issuer_sha256,
            root_pins=[pin_of(root) for root in self._tls.authorities],
            problem=self._problem,
            revoked_count=len(self._tls.revoked),
        )

    def _is_due(self, renew_before_ms: int) -> bool:
        from pydfsnode.security.profile import signed_at

        now_ms = self._clock.wall_ms()
        leaf = self._tls.leaf
        begin_ms = signed_at(leaf).timestamp() * 1000
        lifetime_ms = leaf.not_valid_after_utc.timestamp() * 1000 - begin_ms
        is_old = now_ms >= begin_ms + lifetime_ms * (RENEW_SHARE + self._jitter)
        return (is_old or begin_ms < renew_before_ms) and now_ms >= self._not_before_ms

    async def _renew(self) -> None:
        """Make a new key and have it certified. Raises PydfsError, OSError."""
        from pydfsnode.security.issuing import request_for
        from pydfsnode.security.profile import key_pem, new_key

        self._not_before_ms = self._clock.wall_ms() + RETRY_MS
        key = new_key()
        request = request_for(self._tls.identity, key)
        answer = await self._calls.sign(request, self._tls.cert_pem.decode("ascii", "replace"))
        chain = answer.chain_pem.encode()
        if not self._tls.would_hold(answer.roots_pem.encode(), chain):
            raise CertificateInvalid("the masters signed with a CA that they do not believe")
        # Roots first: the new certificate may be under one that is new too.
        await self._replace_roots(answer.roots_pem)
        with self._tls.replacing():
            await asyncio.to_thread(replace_certificate, self._tls.files, chain, key_pem(key))
        self._tls.reload_if_changed()
        self._not_before_ms, self._problem = 0, ""
        _log.info("certificate renewed", serial=f"{self._tls.leaf.serial_number:x}")

    async def _follow(self, roots_pem: str, revoked: frozenset[str]) -> None:
        """Believe these roots and refuse these certificates. Raises PydfsError, OSError."""
        if revoked != self._tls.revoked:
            self._tls.revoke(revoked)
            content = msgspec.json.encode({"revoked": sorted(revoked)})
            await asyncio.to_thread(replace_file, self._path, content + b"\n", 0o644)
            _log.info("revoked certificates", count=len(revoked))
        if not roots_pem:
            return
        if not self._tls.would_hold(roots_pem.encode(), self._tls.cert_pem):
            raise CertificateInvalid("its certificate is of a CA that is believed no more")
        await self._replace_roots(roots_pem)
        self._problem = ""

    async def _replace_roots(self, roots_pem: str) -> None:
        if self._tls.ca_pem != roots_pem.encode() and roots_pem:
            path = Path(self._tls.files.ca)
            if self._tls.would_hold(roots_pem.encode(), self._tls.cert_pem):
                await asyncio.to_thread(replace_file, path, roots_pem.encode(), 0o644)
                self._tls.reload_if_changed()
                _log.info("roots replaced", count=len(self._tls.authorities))

    def _trouble(self, why: str) -> None:
        if why != self._problem:
            _log.error("certificates are not as they should be", why=why)
        self._problem = why

    def _load(self) -> None:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning(
                "revoked certificates not remembered", file=str(self._path), why=str(error)
            )
            return
        self._tls.revoke(kept.get("revoked", []))


def _show_lifetimes(tls: TlsStore, clock: Clock) -> None:
    """Gauges that are asked when they are scraped; NaN: there is none of that kind."""

    def left_s(kind: str) -> float:
        known = tls.lifetimes.get(kind)
        return math.nan if known is None else known.left_s(clock.wall_ms() / 1000)

    def length_s(kind: str) -> float:
        known = tls.lifetimes.get(kind)
        return math.nan if known is None else known.length_s

    table = metrics()
    for kind in KINDS:
        table.gauge("certificate_expires_seconds", kind).set_function(partial(left_s, kind))
        table.gauge("certificate_lifetime_seconds", kind).set_function(partial(length_s, kind))


async def watch_files(tls: TlsStore) -> None:
    """Take certificates whose files changed, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_S)
        tls.look(loop.time())
