"""The namespace as its rules read: nested dictionaries, everything counted anew, nothing clever.

It shares no code with the product. `apply` takes an operation by the name of its type and either
answers or raises `Refused` with the name of the error class. What is in each part:
`namespace_model_tree`, `_files`, `_attributes`, `_snapshots`, `_trash`, `_administration`,
`_trust`.
"""

from __future__ import annotations

import re
from typing import Any

from tests.reference.namespace_model_administration import IN_SAFE_MODE, Administration
from tests.reference.namespace_model_base import Node, Refused, user_of
from tests.reference.namespace_model_snapshots import Snapshots
from tests.reference.namespace_model_trash import Trash
from tests.reference.namespace_model_trust import Trust

QUESTIONS = (
    "stat",
    "list_directory",
    "locate",
    "summary",
    "get_xattrs",
    "get_acl",
    "quota_of",
    "list_snapshots",
    "find_names",
    "diff",
)


class NamespaceModel(Snapshots, Trash, Administration, Trust):
    """See the module."""

    def apply(self, kind: str, client: int, user: str, at_ms: int, fields: tuple[Any, ...]) -> Any:
        """The answer. Raises Refused, and has changed nothing then."""
        self.clock = max(self.clock, at_ms)
        self.client = client
        rule = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
        was_heard = True
        try:
            if self.safe_mode and kind not in IN_SAFE_MODE:
                raise Refused("SafeMode")
            return getattr(self, rule)(user_of(user), *fields)
        except Refused as refused:
            was_heard = refused.name != "KeyNeeded"  # of which nothing is remembered
            raise
        finally:
            if was_heard:
                self.heard[client] = self.clock

    def ask(self, question: str, path: str, user: str, *more: Any) -> Any:
        """The answer to one of QUESTIONS."""
        return getattr(self, question)(path, user_of(user), *more)

    def everything(self) -> list[Node]:
        """All that is there now or in a snapshot."""
        present = list(self.root.walk())
        kept = [copy for node in present for _, copy in node.snapshots.values()]
        return present + [node for copy in kept for node in copy.walk()]

    def wanted(self) -> dict[int, tuple[int, int, int]]:
        """Version, length and replication of every finished chunk on chunkservers.

        Of the file that has a chunk now and of those in snapshots the one says that wants most.
        """
        found: dict[int, tuple[int, int, int]] = {}
        for node in self.everything():
            for chunk_id, version, content in node.chunks:
                if version:
                    more = max(node.replication, found.get(chunk_id, (0, 0, 0))[2])
                    found[chunk_id] = version, len(content), more
        return found

    def file_keys(self) -> dict[int, bytes]:
        """By inode, of what is there now or in a snapshot."""
        return {node.id: node.key for node in self.everything() if node.key}

    def open_files(self) -> list[Node]:
        """What somebody writes."""
        return [node for node in self.root.walk() if node.holder is not None]

    def open_chunks(self) -> set[int]:
        """Ids of the chunks that are being written."""
        return {node.open_chunk[0] for node in self.root.walk() if node.open_chunk}

    def inline_contents(self) -> dict[int, bytes]:
        """By content id."""
        chunks = [chunk for node in self.everything() for chunk in node.chunks]
        return {chunk.chunk_id: chunk.content for chunk in chunks if not chunk.version}


__all__ = ["QUESTIONS", "NamespaceModel", "Refused"]
