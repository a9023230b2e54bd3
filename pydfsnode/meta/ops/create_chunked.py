"""Create a file and begin its first chunk: one entry in the log for what most writers do first."""

from __future__ import annotations

from pydfsnode.meta.ops.allocate_chunk import check_targets
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.create import make_file
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class CreateChunked(Op, frozen=True, array_like=True, tag=47):
    """As `Create` and then `AllocateChunk` with *targets*; it does both or nothing."""

    path: str
    replication: int
    chunk_bytes: int
    mode: int
    overwrite: bool
    create_parents: bool
    targets: tuple[str, ...]


def apply(tree: Tree, op: CreateChunked) -> FileView:
    """The new file's view, under construction; its chunk is that of the open file.

    Raises:
        InvalidArgument: too many targets, or one of them twice.
        QuotaExceeded: a whole chunk does not fit, as in HDFS.
        as `create.make_file`.
    """
    check_targets(op.targets)
    file = make_file(
        tree, op, op.path, op.replication, op.chunk_bytes, op.mode, op.overwrite,
        op.create_parents, op.chunk_bytes,
    )  # fmt: skip
    tree.open(file, op.client_id)
    tree.add_chunk(file, op.targets)
    return tree.view(file, op.path)
