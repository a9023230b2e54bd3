"""Make certificates worth nothing, before they expire."""

from __future__ import annotations

import re

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.trust import Revoked

SERIALS_PER_CALL_MAX = 256
REVOKED_MAX = 10_000
REASON_CHARACTERS_MAX = 200
_SERIAL = re.compile("[1-9a-f][0-9a-f]{0,39}", re.ASCII)


class RevokeCertificates(Op, frozen=True, array_like=True, tag=40):
    """Serial numbers as lower-case hexadecimal digits without leading zeros."""

    serials: tuple[str, ...]
    reason: str = ""


def apply(tree: Tree, op: RevokeCertificates) -> Done:
    """One that is revoked already keeps its first reason.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: no serial number, none or too many of them, too long a reason.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Revoking a certificate")
    known = tree.trust.revoked
    added = dict.fromkeys(serial for serial in op.serials if serial not in known)
    if not 0 < len(op.serials) <= SERIALS_PER_CALL_MAX or len(known) + len(added) > REVOKED_MAX:
        raise InvalidArgument(
            f"name 1 to {SERIALS_PER_CALL_MAX} serial numbers; {REVOKED_MAX} can be revoked at "
            "once: change the CA when there are more"
        )
    for serial in op.serials:
        if not _SERIAL.fullmatch(serial):
            raise InvalidArgument(f"{serial[:80]!r} is no serial number: write hexadecimal digits")
    if len(op.reason) > REASON_CHARACTERS_MAX:
        raise InvalidArgument(f"the reason is longer than {REASON_CHARACTERS_MAX} characters")
    for serial in added:
        tree.trust.revoke(Revoked(serial, op.reason, tree.clock_ms, caller.user))
    return Done()
