"""pydfsnode: a distributed file system for your own servers.

`connect()` gives the synchronous file system, `await connect_async()` the asynchronous one. Both
are imported when called, so that `import pydfsnode` and `pydfsnode --help` stay quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.sync import FileSystem

__version__ = "0.1.0"
__all__ = ["__version__", "connect", "connect_async"]


def connect(config: str | Path | None = None) -> FileSystem:
    """Connect to a cluster and return the synchronous file system.

    Args:
        config: a client.toml; None means `$PYDFSNODE_CONFIG`, else that in
            `~/.config/pydfsnode/`.
    Raises:
        ConfigError: the configuration, a certificate or a key is missing or wrong.
    """
    from pydfsnode.client.sync import FileSystem

    return FileSystem.connect(config)


async def connect_async(config: str | Path | None = None) -> AsyncFileSystem:
    """Connect to a cluster and return the asynchronous file system; arguments as `connect`."""
    from pydfsnode.client.filesystem import AsyncFileSystem

    return await AsyncFileSystem.connect(config)
