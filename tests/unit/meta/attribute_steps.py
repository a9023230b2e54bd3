"""What the tests of attributes share."""

from __future__ import annotations

from pydfsnode.meta import ops
from pydfsnode.meta.attributes import AclView, get_acl
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import Harness


def a_tree() -> Harness:
    """/ann of ann and staff (755) with /ann/f (644) and /ann/d (755); time has passed since."""
    harness = Harness()
    harness.mkdirs("/ann", 0o755, user="root")
    harness.run(ops.SetOwner, "/ann", "ann", "staff", user="root")
    harness.mkdirs("/ann/d", 0o755, user="ann")
    harness.write("/ann/f", user="ann")
    harness.now_ms += 1000
    return harness


def acl_of(harness: Harness, path: str) -> AclView:
    """As it is."""
    return get_acl(harness.namespace, path, NOBODY_ASKS)


def reload(harness: Harness) -> None:
    """Restart from the rows, which must give the same state."""
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before
