"""Copies files and trees within the cluster, many at once, with progress."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from pydfsnode.client import paths
from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.copy import Around, CopyReport, Job, OnBytes, TreeCopy, Watcher
from pydfsnode.client.model import FileStatus
from pydfsnode.errors import InvalidArgument, NotADirectory

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem


async def copy_file(
    fs: AsyncFileSystem,
    source: str,
    target: str,
    *,
    overwrite: bool = True,
    on_bytes: OnBytes | None = None,
) -> FileStatus:
    """Copy the file *source* to *target*; see AsyncFileSystem.cp_file.

    Raises:
        InvalidArgument: they are the same.
        AlreadyExists: there is a file at *target*, and not *overwrite*.
    """
    if paths.normalize(source) == paths.normalize(target):
        raise InvalidArgument(f"{source} cannot be copied onto itself")
    async with (
        await fs.open_reader(source, consistency=LINEARIZABLE) as reader,
        await fs.open_writer(target, overwrite=overwrite) as writer,
        aclosing(reader.packets()) as packets,
    ):
        async for packet in packets:
            await writer.write(packet)
            if on_bytes is not None:
                on_bytes(len(packet))
    return writer.status


async def copy(
    fs: AsyncFileSystem,
    sources: Sequence[str],
    target: str,
    *,
    parallel: int,
    overwrite: bool = True,
    watcher: Watcher | None = None,
    around: Around | None = None,
) -> CopyReport:
    """Copy files and trees within the cluster; see AsyncFileSystem.copy.

    Raises:
        NotADirectory: several sources and *target* is no directory.
        InvalidArgument: a tree was to be copied into itself.
        PydfsError: the first failure, when there is no watcher or it concerns all files.
    """
    into = await fs.isdir(target, consistency=LINEARIZABLE)
    if len(sources) > 1 and not into:
        raise NotADirectory(f"{target} is not a directory: make it first to copy several into it")

    async def copy_one(job: Job, on_bytes: OnBytes) -> None:
        if job.is_directory:
            await fs.makedirs(job.target, exist_ok=True)
        else:
            await copy_file(fs, job.source, job.target, overwrite=overwrite, on_bytes=on_bytes)

    async def plan(_run: TreeCopy) -> AsyncIterator[Job]:
        for source in sources:
            root = paths.normalize(source)
            goal = paths.join(target, paths.name(root)) if into else paths.normalize(target)
            if goal == root or goal.startswith(root.rstrip("/") + "/"):
                raise InvalidArgument(f"{root} cannot be copied into itself, to {goal}")
            async for entry in fs.find(root, consistency=LINEARIZABLE):
                below = entry.path[len(root) :].strip("/")
                there = paths.join(goal, below) if below else goal
                yield Job(entry.path, there, entry.size, entry.is_directory)

    return await TreeCopy(parallel, copy_one, watcher, around).run(plan)
