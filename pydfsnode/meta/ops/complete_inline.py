"""Close a file that stayed small: its whole content goes into the state table."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.inodes import IS_INLINE
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create_inline import require_small
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.writer import LastChunk, held_file


class CompleteInline(Op, frozen=True, array_like=True, tag=26):
    """`content` replaces what the file had: after `Append` the writer puts that in front."""

    inode_id: int
    content: bytes


def apply(tree: Tree, op: CompleteInline) -> FileView:
    """The closed file's view.

    Raises:
        LeaseExpired, FileUnderConstruction: the caller does not write this file.
        InvalidArgument: the content is too large, or the file has chunks.
        QuotaExceeded.
    """
    file = held_file(tree, op.inode_id, op.client_id)
    require_small(op.content)
    LastChunk(tree, file, None, 0)
    if file.chunk_count and not file.flags & IS_INLINE:
        raise InvalidArgument(
            f"file {file.inode_id} has {file.chunk_count} chunks: it cannot be stored with its "
            "inode any more; complete it as it is",
            inode_id=file.inode_id,
        )
    parent = tree.table.parent(file)
    assert parent is not None
    tree.require_quota(parent, 0, (len(op.content) - file.size) * file.replication)
    tree.set_inline(file, op.content)
    tree.close(file)
    return tree.view(file, tree.table.path(file))
