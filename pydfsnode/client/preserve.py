"""Gives copies the times, mode, owner and group of what was copied."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.copy import Around, CopyOne, Job, OnBytes
from pydfsnode.errors import AccessDenied

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

MODE_BITS = 0o1777
ALL = "topx"
"""Timestamps, ownership, permission and extended attributes; the latter only within a cluster."""

Giving = Callable[[], Awaitable[bool]]
"""Gives a copy its attributes; False: the owner could not be given."""
Attribute = Callable[[Job], Awaitable[Giving]]
"""Looks at what is to be copied, before: reading it changes the time of its last access."""


class Preserving:
    """A `copy.Around` that sets attributes once another one has copied.

    Directories get theirs in `finish`: what is copied into them changes their times, and their mode
    may forbid it.
    """

    def __init__(self, inner: Around, attribute: Attribute) -> None:
        self._inner = inner
        self._attribute = attribute
        self._directories: list[Giving] = []
        self.owners_refused = 0
        """Of how many the owner stayed: giving things away needs a superuser."""

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """See copy.Around."""
        giving = await self._attribute(job)
        copied = await self._inner.copy(job, on_bytes, copy_one)
        if job.is_directory:
            self._directories.append(giving)
        else:
            await self._give(giving)
        return copied

    async def finish(self) -> None:
        """Set the attributes of the directories, the innermost first."""
        while self._directories:
            await self._give(self._directories.pop())

    async def _give(self, giving: Giving) -> None:
        if not await giving():
            self.owners_refused += 1


def local_to_cluster(fs: AsyncFileSystem) -> Attribute:
    """Of copies in the cluster, from local files; owner and group go by name."""

    async def attribute(job: Job) -> Giving:
        found = await asyncio.to_thread(os.stat, job.source)
        owner, group = await asyncio.to_thread(_names, found.st_uid, found.st_gid)
        sticky = stat.S_ISVTX if job.is_directory else 0
        return lambda: set_in_cluster(
            fs,
            job.target,
            times=(found.st_mtime_ns // 1_000_000, found.st_atime_ns // 1_000_000),
            mode=found.st_mode & (0o777 | sticky),
            owner=(owner, group),
        )

    return attribute


def cluster_to_local(fs: AsyncFileSystem) -> Attribute:
    """Of local copies, from files of the cluster; owner and group where this user may and can."""

    async def attribute(job: Job) -> Giving:
        status = await fs.info(job.source)
        return lambda: asyncio.to_thread(
            _set_locally,
            job.target,
            (status.atime_ms * 1_000_000, status.mtime_ms * 1_000_000),
            status.mode & MODE_BITS,
            (status.owner, status.group),
        )

    return attribute


def within_cluster(fs: AsyncFileSystem, what: str) -> Attribute:
    """Of copies within the cluster; *what*: letters of ALL."""

    async def attribute(job: Job) -> Giving:
        status = await fs.info(job.source, consistency=LINEARIZABLE)

        async def give() -> bool:
            if "x" in what:
                for name, value in (await fs.xattrs(job.source)).items():
                    await fs.set_xattr(job.target, name, value)
            return await set_in_cluster(
                fs,
                job.target,
                times=(status.mtime_ms, status.atime_ms) if "t" in what else None,
                mode=status.mode if "p" in what else None,
                owner=(status.owner, status.group) if "o" in what else None,
            )

        return give

    return attribute


async def set_in_cluster(
    fs: AsyncFileSystem,
    path: str,
    *,
    times: tuple[int, int] | None,
    mode: int | None,
    owner: tuple[str, str] | None,
) -> bool:
    """Set attributes of *path*; False: all but the owner, which this user may not give.

    Args:
        times: of change and access, milliseconds since 1970.
    """
    if times is not None:
        await fs.set_times(path, mtime_ms=times[0], atime_ms=times[1])
    if mode is not None:
        await fs.chmod(path, mode)
    if owner is None:
        return True
    status = await fs.info(path, consistency=LINEARIZABLE)
    if owner == (status.owner, status.group):
        return True
    try:
        await fs.chown(path, owner=owner[0], group=owner[1])
    except AccessDenied:
        return False
    return True


def _names(uid: int, gid: int) -> tuple[str, str]:
    """Of a local user and group; the number where there is no name."""
    import grp
    import pwd

    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = str(uid)
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    return owner, group


def _set_locally(path: str, times_ns: tuple[int, int], mode: int, owner: tuple[str, str]) -> bool:
    os.utime(path, ns=times_ns)
    given = True
    found = os.stat(path)
    if _names(found.st_uid, found.st_gid) != owner:
        try:
            os.chown(path, *_ids(*owner))
        except (PermissionError, KeyError):  # no right to, or no such name here
            given = False
    Path(path).chmod(mode)
    return given


def _ids(owner: str, group: str) -> tuple[int, int]:
    """The local numbers of names, -1 for those that are not known; raises KeyError."""
    import grp
    import pwd

    uid = pwd.getpwnam(owner).pw_uid if owner else -1
    return uid, grp.getgrnam(group).gr_gid if group else -1
