"""Create a file with a key of its own, in any of the ways in which files are created."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.file_keys import KEY_BYTES
from pydfsnode.meta.ops.allocate_chunk import check_targets
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create import make_file
from pydfsnode.meta.ops.create_inline import require_small
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class CreateKeyed(Op, frozen=True, array_like=True, tag=48):
    """`file_key`: random bytes that the leader drew; used if the directory still wants them.

    With `content` as `CreateInline`, with `targets` as `CreateChunked`, else as `Create`.
    """

    path: str
    replication: int
    chunk_bytes: int
    mode: int
    overwrite: bool
    create_parents: bool
    file_key: bytes
    targets: tuple[str, ...] = ()
    content: bytes | None = None

    def __repr__(self) -> str:
        return f"CreateKeyed(path={self.path!r})"  # never the key: operations are logged


def apply(tree: Tree, op: CreateKeyed) -> FileView:
    """The new file's view.

    Raises:
        InvalidArgument: the key's size.
        as `Create`, `CreateInline` and `CreateChunked`.
    """
    if len(op.file_key) != KEY_BYTES:
        raise InvalidArgument(f"a file's key has {KEY_BYTES} bytes, not {len(op.file_key)}")
    size = 0
    if op.content is not None:
        require_small(op.content)
        size = len(op.content)
    elif op.targets:
        check_targets(op.targets)
        size = op.chunk_bytes
    file = make_file(
        tree, op, op.path, op.replication, op.chunk_bytes, op.mode, op.overwrite,
        op.create_parents, size, op.file_key,
    )  # fmt: skip
    if op.content is not None:
        tree.set_inline(file, op.content)
        return tree.view(file, op.path)
    tree.open(file, op.client_id)
    if op.targets:
        tree.add_chunk(file, op.targets)
    return tree.view(file, op.path)
