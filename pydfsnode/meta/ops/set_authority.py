"""Change who signs certificates: install an issuing CA, change the CA in phases, renew leaves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.trust import AT_REST, REISSUING, TRUSTING, Authority, Signer

PEM_CHARACTERS_MAX = 16 * 1024
NODES_MAX = 256
ROOTS_MAX = 4


class SetAuthority(Op, frozen=True, array_like=True, tag=43):
    """One step. Whether every live node is ready for it is looked at before this is proposed.

    `install`: *signer* signs from now on, under a root that is believed (the first one is).
    `trust`, `reissue`, `drop`: the phases of a change to the CA *signer*; `abort` takes back the
    first. `renew`: the certificates of the identities *nodes* are made anew; none named: all.
    """

    step: str
    signer: Signer | None = None
    nodes: tuple[str, ...] = ()


def apply(tree: Tree, op: SetAuthority) -> Done:
    """Follow one step; the phases come in their order.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: no such step, not its turn, or what it needs is missing or too long.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Changing the certificate authority")
    rule = _STEPS.get(op.step)
    if rule is None:
        raise InvalidArgument(f"{op.step[:80]!r} is no step: use one of {', '.join(_STEPS)}")
    if (op.signer is None) != (op.step not in ("install", "trust")):
        raise InvalidArgument(f"'{op.step}' goes with a CA, or without one")
    if op.signer is not None and max(len(t) for t in _texts(op.signer)) > PEM_CHARACTERS_MAX:
        raise InvalidArgument(f"a certificate or key has more than {PEM_CHARACTERS_MAX} characters")
    changed = rule(tree.trust.authority, op, tree.clock_ms)
    tree.trust.set_authority(
        msgspec.structs.replace(changed, since_ms=tree.clock_ms, user=caller.user)
    )
    return Done()


def _install(found: Authority | None, op: SetAuthority, _: int) -> Authority:
    assert op.signer is not None
    if found is None:
        return Authority(AT_REST, (op.signer.root,), op.signer, None, 0, (), 0, "")
    _require_phase(found, AT_REST)
    if op.signer.root not in found.roots:
        raise InvalidArgument(
            "this CA has another root: 'pydfsnode certs rotate --ca trust' begins a change to it"
        )
    return msgspec.structs.replace(found, signer=op.signer)


def _trust(found: Authority | None, op: SetAuthority, _: int) -> Authority:
    before = _require_phase(found, AT_REST)
    assert op.signer is not None
    if op.signer.root in before.roots or len(before.roots) >= ROOTS_MAX:
        raise InvalidArgument("the root of the new CA is believed already: make a new CA")
    return msgspec.structs.replace(
        before, phase=TRUSTING, roots=(*before.roots, op.signer.root), coming=op.signer
    )


def _reissue(found: Authority | None, _: SetAuthority, clock_ms: int) -> Authority:
    before = _require_phase(found, TRUSTING)
    assert before.coming is not None
    return msgspec.structs.replace(
        before, phase=REISSUING, signer=before.coming, renew_ms=clock_ms, renew_nodes=()
    )


def _drop(found: Authority | None, _: SetAuthority, __: int) -> Authority:
    before = _require_phase(found, REISSUING)
    return msgspec.structs.replace(before, phase=AT_REST, roots=(before.signer.root,), coming=None)


def _abort(found: Authority | None, _: SetAuthority, __: int) -> Authority:
    before = _require_phase(found, TRUSTING)
    assert before.coming is not None
    roots = tuple(root for root in before.roots if root != before.coming.root)
    return msgspec.structs.replace(before, phase=AT_REST, roots=roots, coming=None)


def _renew(found: Authority | None, op: SetAuthority, clock_ms: int) -> Authority:
    if found is None:
        raise InvalidArgument(_NOBODY)
    if not op.nodes:
        return msgspec.structs.replace(found, renew_ms=clock_ms, renew_nodes=())
    asked = {**dict(found.renew_nodes), **dict.fromkeys(op.nodes, clock_ms)}
    if len(asked) > NODES_MAX or max(len(uri) for uri in op.nodes) > PEM_CHARACTERS_MAX:
        raise InvalidArgument(f"at most {NODES_MAX} nodes one by one: renew all instead")
    return msgspec.structs.replace(found, renew_nodes=tuple(asked.items()))


def _require_phase(found: Authority | None, phase: str) -> Authority:
    if found is None:
        raise InvalidArgument(_NOBODY)
    if found.phase != phase:
        turn = {AT_REST: "'trust'", TRUSTING: "'reissue' or 'abort'", REISSUING: "'drop'"}
        raise InvalidArgument(f"not its turn: the next step is {turn.get(found.phase, 'unknown')}")
    return found


def _texts(signer: Signer) -> tuple[str, str, str]:
    return signer.root, signer.certificate, signer.key


_NOBODY = "the masters have no issuing CA yet: 'pydfsnode certs install' gives them one"
_STEPS: dict[str, Callable[[Authority | None, SetAuthority, int], Authority]] = {
    "install": _install, "trust": _trust, "reissue": _reissue, "drop": _drop, "abort": _abort,
    "renew": _renew,
}  # fmt: skip
