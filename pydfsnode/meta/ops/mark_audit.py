"""Remember how far an audit trail had come."""

from __future__ import annotations

import re

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.audit_marks import AuditMark
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree

NODE_CHARACTERS_MAX = 256
CHAIN_CHARACTERS_MAX = 16_384
_TRAIL = re.compile("[0-9a-f]{16}", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}", re.ASCII)
_SIGNATURE = re.compile("[0-9a-f]{16,256}", re.ASCII)


class MarkAudit(Op, frozen=True, array_like=True, tag=45):
    """See `AuditMark`; who proposes it has checked the signature. `made_ms`: by the node."""

    node: str
    trail: str
    record: int
    sha256: str
    made_ms: int
    signature: str
    chain: str


def apply(tree: Tree, op: MarkAudit) -> Done:
    """One that is not ahead of what is known of its trail changes nothing.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: a field has another form.
    """
    tree.require_superuser(tree.caller(op.user), "Recording a checkpoint of an audit trail")
    if (
        not 0 < len(op.node) <= NODE_CHARACTERS_MAX
        or len(op.chain) > CHAIN_CHARACTERS_MAX
        or not _TRAIL.fullmatch(op.trail)
        or not _SHA256.fullmatch(op.sha256)
        or not _SIGNATURE.fullmatch(op.signature)
        or not (0 < op.record < 1 << 63 and 0 <= op.made_ms < 1 << 63)
    ):
        raise InvalidArgument("this is no checkpoint of an audit trail")
    mark = AuditMark(op.node, op.trail, op.record, op.sha256, op.made_ms, op.signature, op.chain)
    tree.audit_marks.put(mark)
    return Done()
