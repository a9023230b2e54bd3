"""The command line of a node that records no calls: only to compare with (`bench.macro.audit`).

There is no switch for it in the product. What befalls the node itself is recorded as ever.
"""

from __future__ import annotations

import sys

from pydfsnode.cli.main import main
from pydfsnode.roles.chunkserver.auditing import ChunkAuditing
from pydfsnode.roles.master.auditing import Auditing
from pydfsnode.rpc.server import Handler, Handlers


def around(_auditing: Auditing, handlers: Handlers) -> dict[str, Handler]:
    """In place of `Auditing.around`: the handlers as they are."""
    return dict(handlers)


def nothing(*_: object) -> None:
    """In place of what records a call."""


if __name__ == "__main__":
    for kind, method, other in (
        (Auditing, "around", around),
        (Auditing, "batch", nothing),
        (ChunkAuditing, "admit", nothing),
        (ChunkAuditing, "allowed", nothing),
    ):
        setattr(kind, method, other)
    sys.exit(main(sys.argv[1:]))
