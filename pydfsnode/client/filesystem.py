"""The asynchronous file system: what a program does with a cluster, in the words of fsspec."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from pydfsnode.client import copy as copies
from pydfsnode.client import paths, tree_copy
from pydfsnode.client.async_path import AsyncPath
from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.consistency import LINEARIZABLE
from pydfsnode.client.consistency import Reads as Reads
from pydfsnode.client.filesystem_base import CREATION_DEFAULT, DIRECTORY_MODE, Creation
from pydfsnode.client.filesystem_browsing import BrowsingMethods
from pydfsnode.client.filesystem_cluster import ClusterMethods
from pydfsnode.client.filesystem_content import ContentMethods
from pydfsnode.client.filesystem_trees import TreeMethods
from pydfsnode.client.model import FileStatus, Freshness
from pydfsnode.client.patience import Patience
from pydfsnode.client.read_hedge import ReadCounts
from pydfsnode.client.wire import MasterCalls
from pydfsnode.errors import AlreadyExists, IsADirectory, NotADirectory, NotSupported

if TYPE_CHECKING:
    from pydfsnode.client.wire_nodes import NodeCalls
    from pydfsnode.config import ClientConfig
    from pydfsnode.rpc.peer_health import PeerHealth

PARALLEL_DEFAULT = 8


class Closable(Protocol):
    """What is closed with the file system."""

    async def close(self) -> None:
        """Let go of everything."""
        ...


class AsyncFileSystem(ContentMethods, BrowsingMethods, TreeMethods, ClusterMethods):
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
        health: PeerHealth | None = None,
        nodes: NodeCalls | None = None,
    ) -> None:
        """Use `connect`; this takes its parts ready made."""
        super().__init__(calls, chunks, patience, creation, consistency)
        self.parallel = parallel
        """Files that `put` and `get` copy at once."""
        self._connections = connections
        self._health = health
        self._nodes = nodes

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
        from pydfsnode.client.timeouts import operation_timeouts
        from pydfsnode.client.wire_cluster import list_masters
        from pydfsnode.client.wire_nodes import NodeCalls
        from pydfsnode.config import ClientConfig, load_client_config
        from pydfsnode.runtime.clock import SystemClock
        from pydfsnode.security import renewal_advice
        from pydfsnode.security.tls import TlsStore

        settings = config if isinstance(config, ClientConfig) else load_client_config(config)
        tls = TlsStore.load(settings.tls)
        renewal_advice.watch(tls)
        pool = ConnectionPool(tls)
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
            retries_max=settings.retries,
            timeout_ms=settings.timeout_ms,
            timeouts_ms=operation_timeouts(settings.timeouts_ms),
        )
        calls = MasterCalls(router, OpSession(), settings.timeout_ms)
        chunks = ChannelChunkIO(
            lambda node_id, listen: pool.channel("chunkserver", node_id, listen),
            calls,
            Reading(
                settings.rack,
                settings.hedged_reads,
                settings.read_ahead_bytes,
                settings.timeout_ms,
            ),
        )
        return cls(
            calls,
            chunks,
            Patience(clock, settings.timeout_ms, settings.retries),
            creation=Creation(
                settings.replication,
                settings.chunk_bytes,
                settings.inline_bytes_max,
                settings.umask_bits(),
                settings.replace_on_failure,
            ),
            parallel=settings.parallel,
            consistency=settings.consistency,
            connections=(router, pool),
            health=pool.health,
            nodes=NodeCalls(pool.channel),
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

    @property
    def health(self) -> PeerHealth:
        """What this client's calls met with: `faults.all()` counted, and `peers()` in trouble."""
        if self._health is None:
            from pydfsnode.rpc.peer_health import PeerHealth

            self._health = PeerHealth()
        return self._health

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
            await self.require_directory(paths.parent(path))
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

    async def rm_file(self, path: str) -> None:
        """Delete one file; raises IsADirectory, NotFound."""
        status = await self.info(path, consistency=LINEARIZABLE)
        if status.is_directory:
            raise IsADirectory(f"{status.path} is a directory: rmdir, or rm(recursive=True)")
        await self._calls.delete(status.path, recursive=False)

    async def rmdir(self, path: str) -> None:
        """Delete an empty directory; raises NotADirectory, DirectoryNotEmpty, NotFound."""
        await self.require_directory(path)
        await self._calls.delete(paths.normalize(path), recursive=False)

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

    # ---- copies

    async def put_file(
        self,
        lpath: str | Path,
        rpath: str,
        *,
        overwrite: bool = True,
        on_bytes: copies.OnBytes | None = None,
    ) -> FileStatus:
        """Copy one local file to exactly *rpath*; `on_bytes(count)` hears of each piece."""
        return await copies.put_file(
            self, Path(lpath), rpath, overwrite=overwrite, on_bytes=on_bytes
        )

    async def get_file(
        self,
        rpath: str,
        lpath: str | Path,
        *,
        verify: bool = False,
        on_bytes: copies.OnBytes | None = None,
    ) -> FileStatus:
        """Copy one file to exactly the local *lpath*, which appears only when it is whole.

        What is read is checked block by block in any case; *verify* compares the whole file's
        checksum too, as the masters know it.

        Raises:
            CorruptionError: that is another; there is no file at *lpath*.
        """
        return await copies.get_file(self, rpath, Path(lpath), verify=verify, on_bytes=on_bytes)

    async def put(
        self,
        lpaths: str | Path | Sequence[str | Path],
        rpath: str,
        *,
        overwrite: bool = True,
        watcher: copies.Watcher | None = None,
    ) -> copies.CopyReport:
        """Copy local files and trees; into *rpath* when that is a directory, else to that name."""
        sources = [lpaths] if isinstance(lpaths, str | Path) else lpaths
        return await copies.put(
            self,
            [Path(source) for source in sources],
            rpath,
            parallel=self.parallel,
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
        watcher: copies.Watcher | None = None,
    ) -> copies.CopyReport:
        """Copy files and trees here; into *lpath* when that is a directory, else to that name.

        *verify* is of each file: see `get_file`.
        """
        sources = [rpaths] if isinstance(rpaths, str) else rpaths
        return await copies.get(
            self,
            list(sources),
            Path(lpath),
            parallel=self.parallel,
            overwrite=overwrite,
            verify=verify,
            watcher=watcher,
        )

    async def cp_file(
        self,
        path1: str,
        path2: str,
        *,
        overwrite: bool = True,
        on_bytes: copies.OnBytes | None = None,
    ) -> FileStatus:
        """Copy the file *path1* to exactly *path2*, through this client.

        Raises:
            AlreadyExists: there is a file at *path2*, and not *overwrite*.
        """
        return await tree_copy.copy_file(self, path1, path2, overwrite=overwrite, on_bytes=on_bytes)

    async def copy(
        self,
        path1: str | Sequence[str],
        path2: str,
        *,
        overwrite: bool = True,
        watcher: copies.Watcher | None = None,
    ) -> copies.CopyReport:
        """Copy files and trees within the cluster, as `put` does from here."""
        sources = [path1] if isinstance(path1, str) else path1
        return await tree_copy.copy(
            self, sources, path2, parallel=self.parallel, overwrite=overwrite, watcher=watcher
        )

    def path(self, path: str = "/") -> AsyncPath:
        """*path* as an object like those of pathlib, whose methods are awaited."""
        return AsyncPath(self, path)

    # ---- inside

    async def require_directory(self, path: str) -> None:
        """Nothing, when *path* is a directory; else raises NotFound, NotADirectory."""
        status = await self.info(path, consistency=LINEARIZABLE)
        if not status.is_directory:
            raise NotADirectory(f"{path} is a file")

    async def _inside_if_directory(self, destination: str, name: str) -> str:
        destination = paths.normalize(destination)
        into = await self.isdir(destination, consistency=LINEARIZABLE)
        return paths.join(destination, name) if into else destination
