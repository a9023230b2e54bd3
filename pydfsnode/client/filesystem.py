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
from pydfsnode.client.file_reader import AsyncFileReader
from pydfsnode.client.file_writer import AsyncFileWriter
from pydfsnode.client.members import Members, Transferred
from pydfsnode.client.model import ClusterStatus, FileStatus, Freshness, Summary
from pydfsnode.client.patience import Patience
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import AlreadyExists, IsADirectory, NotADirectory, NotFound

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.config import ClientConfig

PARALLEL_DEFAULT = 8
Reads = Consistency | str | None
"""How fresh a read must be: parsed, as text ("bounded:500"), or left to `consistency`."""


class Closable(Protocol):
    """What is closed with the file system."""

    async def close(self) -> None:
        """Let go of everything."""
        ...


class AsyncFileSystem:
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
        replication: int = 0,
        chunk_bytes: int = 0,
        parallel: int = PARALLEL_DEFAULT,
        consistency: Reads = None,
        connections: Sequence[Closable] = (),
    ) -> None:
        """Use `connect`; this takes its parts ready made (0, None: the cluster's default)."""
        self._calls = calls
        self._chunks = chunks
        self._patience = patience
        self.replication = replication
        """Of files created from now on; 0: the cluster's default."""
        self._chunk_bytes = chunk_bytes
        self._parallel = parallel
        self.consistency = Consistency.of(consistency)
        """Of reads from now on that do not say; None: as the masters are configured."""
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
        from pydfsnode.client.chunk_channels import ChannelChunkIO
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
        router = LeaderRouter(
            settings.peers(),
            lambda peer: pool.channel("master", peer.node_id, peer.listen),
            clock=clock,
            random=random.random,
            list_masters=list_masters,
        )
        calls = MasterCalls(router, OpSession(), settings.timeout_ms)
        chunks = ChannelChunkIO(
            lambda node_id, listen: pool.channel("chunkserver", node_id, listen), calls, clock
        )
        return cls(
            calls,
            chunks,
            Patience(clock, settings.timeout_ms),
            replication=settings.replication,
            chunk_bytes=settings.chunk_bytes,
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

    # ---- what is there

    async def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        """What the namespace knows of *path*; raises NotFound."""
        return await self._calls.stat(paths.normalize(path), self._wanted(consistency))

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

    async def find(self, path: str, *, consistency: Reads = None) -> AsyncIterator[FileStatus]:
        """*path* and everything below it, each directory before its entries."""
        wanted = self._wanted(consistency)
        root = await self.info(path, consistency=wanted)
        yield root
        if not root.is_directory:
            return
        # A stack of directories still to list: depth first without recursion.
        pending = [root.path]
        while pending:
            below: list[str] = []
            async for entry in self.scandir(pending.pop(), consistency=wanted):
                yield entry
                if entry.is_directory:
                    below.append(entry.path)
            pending.extend(reversed(below))

    async def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """Totals of everything under *path*."""
        return await self._calls.summary(paths.normalize(path), self._wanted(consistency))

    async def cluster_status(self) -> ClusterStatus:
        """How the leading master sees the cluster."""
        return await self._calls.cluster_status()

    # ---- the masters themselves

    async def cluster_members(self) -> Members:
        """Who the masters are, by the log."""
        return await self._calls.cluster.members()

    async def add_master(self, node_id: str, listen: str, *, learner_only: bool = False) -> Members:
        """Add the running master *node_id* at *listen*; returns when it holds the log and votes.

        Raises:
            InvalidArgument, UnsafeChange: why it cannot be.
        """
        return await self._calls.cluster.add_server(node_id, listen, learner_only=learner_only)

    async def remove_master(self, node_id: str, *, force: bool = False) -> Members:
        """Take a master out; returns when the others are the members without it.

        Raises:
            UnsafeChange: too few would be left, and not *force*.
        """
        return await self._calls.cluster.remove_server(node_id, force=force)

    async def transfer_leader(self, to: str = "") -> Transferred:
        """Make the master *to* the leader, or the one that follows best."""
        return await self._calls.cluster.transfer_leadership(to)

    # ---- changes

    async def mkdir(self, path: str, create_parents: bool = True) -> FileStatus:
        """Make a directory that does not exist yet; raises AlreadyExists, NotFound."""
        path = paths.normalize(path)
        if await self.exists(path, consistency=LINEARIZABLE):
            raise AlreadyExists(f"{path} exists already")
        if not create_parents:
            await self._require_directory(paths.parent(path))
        return await self._calls.mkdirs(path)

    async def makedirs(self, path: str, exist_ok: bool = False) -> FileStatus:
        """Make a directory and its missing parents."""
        if not exist_ok:
            return await self.mkdir(path)
        return await self._calls.mkdirs(paths.normalize(path))

    async def rm(self, path: str, recursive: bool = False) -> int:
        """Delete a file, an empty directory, or with *recursive* a tree; returns how many went."""
        return await self._calls.delete(paths.normalize(path), recursive=recursive)

    async def mv(self, source: str, destination: str) -> FileStatus:
        """Move a file or tree in one step; into *destination* when that is a directory."""
        source = paths.normalize(source)
        target = await self._inside_if_directory(destination, paths.name(source))
        return await self._calls.rename(source, target)

    # ---- content

    async def open_writer(
        self, path: str, *, overwrite: bool = True, replication: int = 0, chunk_bytes: int = 0
    ) -> AsyncFileWriter:
        """Create *path* and its missing parents and return the stream that fills it.

        The file has its content once the writer is closed.

        Raises:
            AlreadyExists: there is a file, and not *overwrite*.
            IsADirectory: there is a directory.
        """
        status = await self._calls.create(
            paths.normalize(path),
            replication=replication or self.replication,
            chunk_bytes=chunk_bytes or self._chunk_bytes,
            overwrite=overwrite,
        )
        return AsyncFileWriter(self._calls, self._chunks, status)

    async def open_reader(self, path: str, *, consistency: Reads = None) -> AsyncFileReader:
        """Open a closed file for reading; *consistency* is of which content it has.

        Raises:
            NotFound, IsADirectory: there is no file at *path*.
        """
        found = await self._calls.locate(paths.normalize(path), self._wanted(consistency))
        if found.status.is_directory:
            raise IsADirectory(f"{found.status.path} is a directory")
        return AsyncFileReader(self._calls, self._chunks, found, self._patience)

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

    async def pipe_file(self, path: str, value: Buffer, *, overwrite: bool = True) -> FileStatus:
        """Make *value* the content of *path*."""
        async with await self.open_writer(path, overwrite=overwrite) as writer:
            await writer.write(value)
        return writer.status

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
        self, rpath: str, lpath: str | Path, *, on_bytes: copy.OnBytes | None = None
    ) -> FileStatus:
        """Copy one file to exactly the local *lpath*, which appears only when it is whole."""
        return await copy.get_file(self, rpath, Path(lpath), on_bytes=on_bytes)

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
        watcher: copy.Watcher | None = None,
    ) -> copy.CopyReport:
        """Copy files and trees here; into *lpath* when that is a directory, else to that name."""
        sources = [rpaths] if isinstance(rpaths, str) else rpaths
        return await copy.get(
            self,
            list(sources),
            Path(lpath),
            parallel=self._parallel,
            overwrite=overwrite,
            watcher=watcher,
        )

    # ---- inside

    def _wanted(self, given: Reads) -> Consistency | None:
        return self.consistency if given is None else Consistency.of(given)

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
