"""fsspec's view of a cluster: `pydfs://`, for pandas, pyarrow, dask, duckdb and others.

fsspec finds this class by the entry point in pyproject.toml. The methods that it wants are those
that begin with _; it makes the ones that block of them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from fsspec import asyn
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import stringify_path

from pydfsnode.client import paths
from pydfsnode.client.builtin_errors import InvalidArgument, as_builtin
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.fsspec_clients import clients
from pydfsnode.client.fsspec_files import DeferredWriter, StreamedFile, temporary_path
from pydfsnode.client.model import FILE, FileStatus
from pydfsnode.client.pure_path import PROTOCOL
from pydfsnode.client.sync_files import BUFFER_BYTES, RawWriter, open_file
from pydfsnode.errors import PydfsError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.consistency import Reads

P = ParamSpec("P")
T = TypeVar("T")
Entry = dict[str, Any]


def _builtin(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Errors of *method* are Python's own kinds too: fsspec looks for FileNotFoundError."""

    @functools.wraps(method)
    async def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except PydfsError as error:
            raise as_builtin(error) from None

    return told


class PydfsFileSystem(asyn.AsyncFileSystem):
    """A cluster as fsspec has file systems; `fsspec.filesystem("pydfs")` makes one.

    Paths are "/a/b", "pydfs:///a/b" or "pydfs://a/b": the cluster is that of the configuration.
    """

    protocol: ClassVar[str] = PROTOCOL
    root_marker = "/"

    def __init__(
        self,
        config: str | os.PathLike[str] | None = None,
        consistency: Reads = None,
        *,
        asynchronous: bool = False,
        loop: object = None,
        batch_size: int | None = None,
        **storage_options: Any,
    ) -> None:
        """Connects with the first call.

        Args:
            config: a client.toml; None: `$PYDFSNODE_CONFIG`, else that in `~/.config/pydfsnode/`.
            consistency: of reads, as of `AsyncFileSystem`.
            asynchronous: the methods that begin with _ are awaited in the caller's loop; `aclose`
                ends it.
            loop: not used: the methods that block share a loop of this module.
        """
        self._config = None if config is None else os.fspath(config)
        self._consistency = consistency
        self._own: AsyncFileSystem | None = None
        self._clients = None if asynchronous else clients()
        super().__init__(
            asynchronous=asynchronous,
            loop=self._clients.thread.loop if self._clients is not None else None,
            batch_size=batch_size,
            **storage_options,
        )

    async def _connected(self) -> AsyncFileSystem:
        if self._clients is not None:
            return await self._clients.of(self._config)
        if self._own is None:
            self._own = await AsyncFileSystem.connect(self._config)
        return self._own

    async def aclose(self) -> None:
        """Close the connections of an asynchronous file system."""
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text: str = stringify_path(path)
        text = text.removeprefix(f"{PROTOCOL}::").removeprefix(f"{PROTOCOL}:/").rstrip("/")
        return "/" + text.lstrip("/")

    @property
    def fsid(self) -> str:
        """The cluster by its configuration's file."""
        return f"{PROTOCOL}-{self._config}"

    # ---- what is there

    @_builtin
    async def _info(self, path: str, **_: Any) -> Entry:
        fs = await self._connected()
        return _entry(await fs.info(self._strip_protocol(path), consistency=self._consistency))

    @_builtin
    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Entry] | list[str]:
        fs = await self._connected()
        found = await fs.ls(self._strip_protocol(path), consistency=self._consistency)
        return [_entry(one) for one in found] if detail else [one.path for one in found]

    @_builtin
    async def _exists(self, path: str, **_: Any) -> bool:
        fs = await self._connected()
        return await fs.exists(self._strip_protocol(path), consistency=self._consistency)

    @_builtin
    async def _isdir(self, path: str) -> bool:
        fs = await self._connected()
        return await fs.isdir(self._strip_protocol(path), consistency=self._consistency)

    @_builtin
    async def _isfile(self, path: str) -> bool:
        fs = await self._connected()
        return await fs.isfile(self._strip_protocol(path), consistency=self._consistency)

    @_builtin
    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> list[str] | dict[str, Entry]:
        """As the base, but the whole tree at once instead of directory by directory."""
        path = self._strip_protocol(path)
        if maxdepth is not None:
            found: list[str] | dict[str, Entry] = await super()._find(
                path, maxdepth=maxdepth, withdirs=withdirs, **kwargs
            )
            return found
        fs = await self._connected()
        out: dict[str, Entry] = {}
        try:
            kind = None if withdirs else FILE
            async for status in fs.find(path, type=kind, consistency=self._consistency):
                out[status.path] = _entry(status)
        except PydfsError as error:
            if not isinstance(as_builtin(error), FileNotFoundError | NotADirectoryError):
                raise
        names = sorted(out)
        return {name: out[name] for name in names} if kwargs.get("detail") else names

    @_builtin
    async def _du(
        self, path: str, total: bool = True, maxdepth: int | None = None, **kwargs: Any
    ) -> int | dict[str, int]:
        path = self._strip_protocol(path)
        if total and maxdepth is None:
            fs = await self._connected()
            return (await fs.summary(path, consistency=self._consistency)).bytes
        sizes: int | dict[str, int] = await super()._du(path, total, maxdepth, **kwargs)
        return sizes

    async def _modified(self, path: str) -> datetime:
        return datetime.fromtimestamp((await self._info(path))["mtime"], UTC)

    async def _ukey(self, path: str) -> str:
        """Another one when the content is another."""
        info = await self._info(path)
        return "-".join(str(info[key]) for key in ("ino", "mtime", "size", "checksum"))

    # ---- changes

    @_builtin
    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        fs = await self._connected()
        await fs.mkdir(self._strip_protocol(path), create_parents)

    @_builtin
    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        fs = await self._connected()
        await fs.makedirs(self._strip_protocol(path), exist_ok)

    @_builtin
    async def _rmdir(self, path: str) -> None:
        fs = await self._connected()
        await fs.rmdir(self._strip_protocol(path))

    @_builtin
    async def _rm_file(self, path: str, **_: Any) -> None:
        """A file, or as `_rm` needs it an empty directory."""
        fs = await self._connected()
        await fs.rm(self._strip_protocol(path))

    @_builtin
    async def _rm(
        self,
        path: str | list[str],
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        if maxdepth is not None:
            await super()._rm(path, recursive, batch_size, maxdepth, **kwargs)
            return
        fs = await self._connected()
        for found in await self._expand_path(path):
            await fs.rm(found, recursive)

    @_builtin
    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        fs = await self._connected()
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if await fs.isdir(path1):
            await fs.makedirs(path2, exist_ok=True)
        else:
            await fs.cp_file(path1, path2)

    @_builtin
    async def _mv(self, path1: str, path2: str) -> None:
        """Moved in one step; a file in the place of another."""
        fs = await self._connected()
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if stringify_path(path2).endswith("/") or await fs.isdir(target):
            target = paths.join(target, paths.name(source))
        if source != target:
            await fs.makedirs(paths.parent(target), exist_ok=True)
            await fs.rename(source, target, overwrite=True)

    def mv(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Move a file or tree in one step; several, or what a pattern means, one by one."""
        if isinstance(path1, list) or maxdepth is not None or asyn.has_magic(str(path1)):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)
        else:
            asyn.sync(self.loop, self._mv, path1, path2)

    @_builtin
    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        fs = await self._connected()
        await fs.touch(self._strip_protocol(path), truncate)

    rmdir = asyn.sync_wrapper(_rmdir)
    modified = asyn.sync_wrapper(_modified)
    ukey = asyn.sync_wrapper(_ukey)
    touch = asyn.sync_wrapper(_touch)

    # ---- content

    @_builtin
    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        fs = await self._connected()
        path = self._strip_protocol(path)
        return await fs.cat_file(path, start, end, consistency=self._consistency)

    @_builtin
    async def _pipe_file(self, path: str, value: Buffer, mode: str = "overwrite", **_: Any) -> None:
        fs = await self._connected()
        await fs.pipe_file(self._strip_protocol(path), value, overwrite=mode != "create")

    @_builtin
    async def _put_file(
        self,
        lpath: str,
        rpath: str,
        mode: str = "overwrite",
        callback: Any = DEFAULT_CALLBACK,
        **_: Any,
    ) -> None:
        fs = await self._connected()
        local, rpath = Path(lpath), self._strip_protocol(rpath)
        if await asyncio.to_thread(local.is_dir):
            await fs.makedirs(rpath, exist_ok=True)
            return
        callback.set_size((await asyncio.to_thread(local.stat)).st_size)
        overwrite = mode != "create"
        await fs.put_file(local, rpath, overwrite=overwrite, on_bytes=callback.relative_update)

    @_builtin
    async def _get_file(
        self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        fs = await self._connected()
        rpath, local = self._strip_protocol(rpath), Path(lpath)
        status = await fs.info(rpath)
        if status.is_directory:
            await asyncio.to_thread(local.mkdir, parents=True, exist_ok=True)
            return
        await asyncio.to_thread(local.parent.mkdir, parents=True, exist_ok=True)
        callback.set_size(status.size)
        await fs.get_file(rpath, local, on_bytes=callback.relative_update)

    def open(
        self,
        path: Any,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As of any fsspec file system; text is UTF-8 unless told otherwise."""
        if "b" in mode or compression or self._intrans:
            if "b" not in mode:
                kwargs.setdefault("encoding", "utf-8")
            return super().open(path, mode, block_size, cache_options, compression, **kwargs)
        known = {key: kwargs[key] for key in ("encoding", "errors", "newline") if key in kwargs}
        return self._open(self._strip_protocol(path), mode, block_size, **known)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> IO[Any]:
        if self._clients is None:
            raise InvalidArgument("an asynchronous file system has open_async instead of open")
        thread = self._clients.thread
        fs = thread.run(self._connected())
        if not autocommit and "r" not in mode:
            return self._open_deferred(fs, path, mode)
        text = {key: kwargs[key] for key in ("encoding", "errors", "newline") if key in kwargs}
        consistency = self._consistency if "r" in mode else None
        return open_file(
            thread,
            fs,
            path,
            mode,
            buffering=-1 if block_size is None else block_size,
            consistency=consistency,
            # Tools flush before they close: small files would cost twice and more.
            flush_shows=False,
            **text,
        )

    def _open_deferred(self, fs: AsyncFileSystem, path: str, mode: str) -> DeferredWriter:
        if mode not in ("wb", "xb"):
            raise InvalidArgument(f"mode '{mode}' is not supported in a transaction: use wb")
        thread = self._clients.thread if self._clients is not None else clients().thread
        temporary = temporary_path(path, secrets.token_hex(4))
        raw = RawWriter(thread, thread.run(fs.open(temporary, "wb")), mode)
        return DeferredWriter(raw, BUFFER_BYTES, thread, fs, path)

    @_builtin
    async def open_async(self, path: str, mode: str = "rb", **_: Any) -> StreamedFile:
        """Open a file to read or write bytes by methods that are awaited."""
        fs = await self._connected()
        path = self._strip_protocol(path)
        return StreamedFile(await fs.open(path, mode), path, mode)


def _entry(status: FileStatus) -> Entry:
    """As fsspec describes what is there; times in seconds since 1970."""
    return {
        "name": status.path,
        "size": status.size,
        "type": status.type,
        "mtime": status.mtime_ms / 1000,
        "mode": status.mode,
        "owner": status.owner,
        "group": status.group,
        "replication": status.replication,
        "checksum": status.checksum,
        "ino": status.inode_id,
    }
