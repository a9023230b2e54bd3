"""Create a small file with its content, at once."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create import make_file
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class CreateInline(Op, frozen=True, array_like=True, tag=8):
    """As `Create`, but `content` is all of it, lies in the state table, and nobody writes it."""

    path: str
    replication: int
    chunk_bytes: int
    mode: int = 0
    overwrite: bool = False
    create_parents: bool = False
    content: bytes = b""


def apply(tree: Tree, op: CreateInline) -> FileView:
    """The closed file's view.

    Raises:
        InvalidArgument: the content is too large to be stored so.
        as `create.make_file`.
    """
    require_small(op.content)
    file = make_file(
        tree, op, op.path, op.replication, op.chunk_bytes, op.mode, op.overwrite,
        op.create_parents, len(op.content),
    )  # fmt: skip
    tree.set_inline(file, op.content)
    return tree.view(file, op.path)


def require_small(content: bytes) -> None:
    """Raise InvalidArgument unless *content* may be stored with its inode."""
    if len(content) > limits.INLINE_BYTES_MAX:
        raise InvalidArgument(
            f"a content of {len(content)} bytes is too large to be stored with its inode: "
            f"the most is {limits.INLINE_BYTES_MAX}; write it as chunks",
            length=len(content),
        )
