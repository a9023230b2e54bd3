"""The asynchronous file system: what a program does with a cluster, in the words of fsspec."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from pydfsnode.client import copy, paths
from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.consistency import LINEARIZABLE, Consistency
from pydfsnode.client.consistency import Reads as Reads
from pydfsnode.client.file_reader import AsyncFileReader
from pydfsnode.client.filesystem_attributes import AttributeMethods
from pydfsnode.client.filesystem_base import CREATION_DEFAULT, DIRECTORY_MODE, Creation
from pydfsnode.client.filesystem_cluster import ClusterMethods
from pydfsnode.client.filesystem_trees import TreeMethods
from pydfsnode.client.filesystem_writing import WritingMethods
from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    FileLocations,
    FileStatus,
    Freshness,
    Summary,
)
from pydfsnode.client.patience import Patience
from pydfsnode.client.read_hedge import ReadCounts
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import (
    AlreadyExists,
    InvalidArgument,
    IsADirectory,
    NotADirectory,
    NotFound,
    NotSupported,
)

if TYPE_CHECKING:
    from pydfsnode.config import ClientConfig

PARALLEL_DEFAULT = 8


class Closable(Protocol):
    """What is closed with the file system."""

    async def close(self) -> None:
        """Let go of everything."""
        ...


class AsyncFileSystem(WritingMethods, AttributeMethods, TreeMethods, ClusterMethods):
    """One client instance: its own op ids, its own connections. Use it in one event loop.

    Paths are absolute ("/a/b"). All methods raise `DomainError`s for what the namespace refuses and
    `ClusterError`s when the cluster did not answer within the configured timeout.

    Reads take a `consistency`: "linearizable", "lease", "follower", "bounded:MS" or "stale"
    (docs/consistency.md), else `self.consistency`, else the masters' own, which is linearizable.
    What a method reads in order to decide on a change is always linearizable.
    """

    def __init__(
        self,
        calls: MasterCalls,
        chunks: ChunkIO,
        patience: Patience,
        *,
        creation: Creation = CREATION_DEFAULT,
        parallel: int = PARALLEL_DEFAULT,
        consistency: Reads = None,
        connections: Sequence[Closable] = (),
    ) -> None:
        """Use `connect`; this takes its parts ready made."""
        super().__init__(calls, chunks, patience, creation, consistency)
        self._parallel = parallel
        self._connections = connections

    @classmethod
    async def connect(cls, config: ClientConfig | str | Path | None = None) -> AsyncFileSystem:
        """Read the configuration and the certificate; connections open with the first call.

        Args:
            config: a client.toml or its content; None: `$PYDFSNODE_CONFIG`, else the home's.
        Raises:
            ConfigError: the configuration is missing or wrong.
            CertificateInvalid: the certificate, its key or the CA is missing or wrong.
        """
        from pydfsnode.client.batching import BATCHABLE, BatchingChannels
        from pydfsnode.client.chunk_channels import ChannelChunkIO, Reading
        from pydfsnode.client.connections import ConnectionPool
        from pydfsnode.client.routing import LeaderRouter
        from pydfsnode.client.session import OpSession
        from pydfsnode.client.wire_cluster import list_masters
        from pydfsnode.config import ClientConfig, load_client_config
        from pydfsnode.runtime.clock import SystemClock
        from pydfsnode.security.tls import TlsStore

        settings = config if isinstance(config, ClientConfig) else load_client_config(config)
        pool = ConnectionPool(TlsStore.load(settings.tls))
        clock = SystemClock()
        masters = BatchingChannels(
            lambda peer: pool.channel("master", peer.node_id, peer.listen), BATCHABLE
        )
        router = LeaderRouter(
            settings.peers(),
            masters.of,
            clock=clock,
            random=random.random,
            list_masters=list_masters,
        )
        calls = MasterCalls(router, OpSession(), settings.timeout_ms)
        chunks = ChannelChunkIO(
            lambda node_id, listen: pool.channel("chunkserver", node_id, listen),
            calls,
            Reading(settings.rack, settings.hedged_reads, settings.read_ahead_bytes),
        )
        return cls(
            calls,
            chunks,
            Patience(clock, settings.timeout_ms),
            creation=Creation(
                settings.replication,
                settings.chunk_bytes,
                settings.inline_bytes_max,
                settings.umask_bits(),
            ),
            parallel=settings.parallel,
            consistency=settings.consistency,
            connections=(router, pool),
        )

    async def __aenter__(self) -> AsyncFileSystem:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; files under construction stay so."""
        await self._lease.close()
        await self._chunks.close()
        for connection in self._connections:
            await connection.close()

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well; for telling people."""
        return self._calls.waiting_because()

    @property
    def stalest(self) -> Freshness | None:
        """Of all answers so far, the one that may be oldest; None while all were linearizable."""
        return self._calls.stalest

    @property
    def read_counts(self) -> ReadCounts:
        """Reads of chunks so far, and how often a second replica was asked and was first."""
        return self._chunks.counts

    # ---- what is there

    async def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        """What the namespace knows of *path*; raises NotFound."""
        # This and other short methods do not call `_wanted`: they are called often.
        wanted = self.consistency if consistency is None else Consistency.of(consistency)
        return await self._calls.stat(paths.normalize(path), wanted)

    async def exists(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a file or a directory."""
        return await self._info_or_none(path, consistency) is not None

    async def isdir(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a directory."""
        status = await self._info_or_none(path, consistency)
        return status is not None and status.is_directory

    async def isfile(self, path: str, *, consistency: Reads = None) -> bool:
        """Whether *path* is a file."""
        status = await self._info_or_none(path, consistency)
        return status is not None and not status.is_directory

    async def ls(self, path: str, *, consistency: Reads = None) -> list[FileStatus]:
        """The entries of a directory by name; a file lists itself."""
        return [entry async for entry in self.scandir(path, consistency=consistency)]

    async def ls_page(
        self, path: str, start_after: str = "", limit: int = 0, *, consistency: Reads = None
    ) -> list[FileStatus]:
        """Up to *limit* entries of *path* behind the name *start_after*; 0: as many as fit."""
        page = await self._calls.list_directory(
            paths.normalize(path), start_after, limit, consistency=self._wanted(consistency)
        )
        return page.entries

    async def scandir(self, path: str, *, consistency: Reads = None) -> AsyncIterator[FileStatus]:
        """As `ls`, page by page, so that a huge directory does not fill the memory."""
        path, wanted = paths.normalize(path), self._wanted(consistency)
        start_after = ""
        while True:
            page = await self._calls.list_directory(path, start_after, consistency=wanted)
            for entry in page.entries:
                yield entry
            if not page.more or not page.entries:
                return
            start_after = page.entries[-1].name

    async def find(
        self,
        path: str,
        pattern: str = "*",
        type: str | None = None,
        *,
        consistency: Reads = None,
    ) -> AsyncIterator[FileStatus]:
        """*path* and everything below it, each directory before its entries, in order of names.

        Args:
            pattern: of the last name, as a shell's: * ? [a-z].
            type: "file" or "directory"; None: both.
        """
        if type not in (None, FILE, DIRECTORY):
            raise InvalidArgument(f"there is no type '{type}': {FILE} or {DIRECTORY}")
        path, wanted = paths.normalize(path), self._wanted(consistency)
        asked = "" if pattern == "*" else pattern
        start_after = ""
        while True:
            page = await self._calls.find(path, asked, type, start_after, wanted)
            for entry in page.entries:
                yield entry
            if not page.next:
                return
            start_after = page.next

    async def summary(self, path: str, *, consistency: Reads = None) -> Summary:
        """Totals of everything under *path*, and its quotas; as quick for a large tree."""
        return await self._calls.summary(paths.normalize(path), self._wanted(consistency))

    async def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """As `summary`, by the name that fsspec has for it."""
        return await self.summary(path, consistency=consistency)

    # ---- changes

    async def mkdir(
        self, path: str, create_parents: bool = True, *, mode: int | None = None
    ) -> FileStatus:
        """Make a directory that does not exist yet; raises AlreadyExists, NotFound.

        Args:
            mode: its permission bits, less those of the umask; None: 0o777.
        """
        path = paths.normalize(path)
        if await self.exists(path, consistency=LINEARIZABLE):
            raise AlreadyExists(f"{path} exists already")
        if not create_parents:
            await self._require_directory(paths.parent(path))
        return await self._calls.mkdirs(path, self._masked(mode, DIRECTORY_MODE))

    async def makedirs(
        self, path: str, exist_ok: bool = False, *, mode: int | None = None
    ) -> FileStatus:
        """Make a directory and its missing parents; *mode* as of `mkdir`."""
        if not exist_ok:
            return await self.mkdir(path, mode=mode)
        masked = self._masked(mode, DIRECTORY_MODE)
        return await self._calls.mkdirs(paths.normalize(path), masked)

    async def rm(self, path: str, recursive: bool = False) -> int:
        """Delete a file, an empty directory, or with *recursive* a tree; returns how many went."""
        return await self._calls.delete(paths.normalize(path), recursive=recursive)

    async def mv(self, source: str, destination: str, *, overwrite: bool = False) -> FileStatus:
        """Move a file or tree in one step; into *destination* when that is a directory.

        Args:
            overwrite: a file may take the place of another file.
        """
        source = paths.normalize(source)
        target = await self._inside_if_directory(destination, paths.name(source))
        return await self._calls.rename(source, target, overwrite=overwrite)

    async def rename(self, source: str, destination: str, *, overwrite: bool = False) -> FileStatus:
        """As `mv`, but *destination* is the new path itself: one request, nothing is looked up."""
        return await self._calls.rename(
            paths.normalize(source), paths.normalize(destination), overwrite=overwrite
        )

    async def delete(self, path: str, recursive: bool = False) -> int:
        """As `rm`, by its other name; returns how many files and directories are gone."""
        return await self._calls.delete(paths.normalize(path), recursive=recursive)

    async def symlink(self, target: str, path: str) -> None:
        """There are no symbolic links. Raises NotSupported."""
        raise NotSupported(
            f"{path}: symbolic links are not supported: nothing was made that would point to "
            f"'{target}'; copy the file, or give programs its own path",
            path=path,
        )

    # ---- content

    async def open_reader(self, path: str, *, consistency: Reads = None) -> AsyncFileReader:
        """Open a closed file for reading; *consistency* is of which content it has.

        Raises:
            NotFound, IsADirectory: there is no file at *path*.
        """
        found = await self.locations(path, consistency=consistency)
        return AsyncFileReader(self._calls, self._chunks, found, self._patience)

    async def locations(self, path: str, *, consistency: Reads = None) -> FileLocations:
        """The chunks of a file and the chunkservers that have them.

        Raises:
            NotFound, IsADirectory: there is no file at *path*.
        """
        found = await self._calls.locate(paths.normalize(path), self._wanted(consistency))
        if found.status.is_directory:
            raise IsADirectory(f"{found.status.path} is a directory")
        return found

    async def cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        *,
        consistency: Reads = None,
    ) -> bytes:
        """The bytes [start, end) of a file; negative positions count from its end."""
        async with await self.open_reader(path, consistency=consistency) as reader:
            return await reader.read_range(
                _position(start, reader.size, 0), _position(end, reader.size, reader.size)
            )

    async def put_file(
        self,
        lpath: str | Path,
        rpath: str,
        *,
        overwrite: bool = True,
        on_bytes: copy.OnBytes | None = None,
    ) -> FileStatus:
        """Copy one local file to exactly *rpath*; `on_bytes(count)` hears of each piece."""
        return await copy.put_file(self, Path(lpath), rpath, overwrite=overwrite, on_bytes=on_bytes)

    async def get_file(
        self,
        rpath: str,
        lpath: str | Path,
        *,
        verify: bool = False,
        on_bytes: copy.OnBytes | None = None,
    ) -> FileStatus:
        """Copy one file to exactly the local *lpath*, which appears only when it is whole.

        What is read is checked block by block in any case; *verify* compares the whole file's
        checksum too, as the masters know it.

        Raises:
            CorruptionError: that is another; there is no file at *lpath*.
        """
        return await copy.get_file(self, rpath, Path(lpath), verify=verify, on_bytes=on_bytes)

    async def put(
        self,
        lpaths: str | Path | Sequence[str | Path],
        rpath: str,
        *,
        overwrite: bool = True,
        watcher: copy.Watcher | None = None,
    ) -> copy.CopyReport:
        """Copy local files and trees; into *rpath* when that is a directory, else to that name."""
        sources = [lpaths] if isinstance(lpaths, str | Path) else lpaths
        return await copy.put(
            self,
            [Path(source) for source in sources],
            rpath,
            parallel=self._parallel,
            overwrite=overwrite,
            watcher=watcher,
        )

    async def get(
        self,
        rpaths: str | Sequence[str],
        lpath: str | Path,
        *,
        overwrite: bool = True,
        verify: bool = False,
        watcher: copy.Watcher | None = None,
    ) -> copy.CopyReport:
        """Copy files and trees here; into *lpath* when that is a directory, else to that name.

        *verify* is of each file: see `get_file`.
        """
        sources = [rpaths] if isinstance(rpaths, str) else rpaths
        return await copy.get(
            self,
            list(sources),
            Path(lpath),
            parallel=self._parallel,
            overwrite=overwrite,
            verify=verify,
            watcher=watcher,
        )

    # ---- inside

    async def _info_or_none(self, path: str, consistency: Reads) -> FileStatus | None:
        try:
            return await self.info(path, consistency=consistency)
        except (NotFound, NotADirectory):
            return None

    async def _require_directory(self, path: str) -> None:
        status = await self.info(path, consistency=LINEARIZABLE)
        if not status.is_directory:
            raise NotADirectory(f"{path} is a file")

    async def _inside_if_directory(self, destination: str, name: str) -> str:
        destination = paths.normalize(destination)
        into = await self.isdir(destination, consistency=LINEARIZABLE)
        return paths.join(destination, name) if into else destination


def _position(given: int | None, size: int, default: int) -> int:
    if given is None:
        return default
    return max(0, size + given) if given < 0 else min(given, size)
