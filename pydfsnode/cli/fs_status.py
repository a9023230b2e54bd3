"""How a file or directory looks: as JSON, as mode letters, as a time."""

from __future__ import annotations

import stat as stat_bits
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydfsnode.cli.output import freshness_json

if TYPE_CHECKING:
    from pydfsnode.client.model import FileStatus

_JSON_FIELDS = (
    "path", "type", "size", "replication", "owner", "group", "mode", "mtime_ms", "atime_ms",
    "checksum", "chunk_bytes", "under_construction", "has_acl", "inline",
)  # fmt: skip


def status_json(status: FileStatus) -> dict[str, Any]:
    """What `--json` promises of a file or directory; mode is octal text, as in "0644"."""
    found = {name: getattr(status, name) for name in _JSON_FIELDS}
    found["mode"] = f"{status.mode:04o}"
    return found | freshness_json(status.freshness)


def mode_text(status: FileStatus) -> str:
    """As in "drwxr-xr-x", with a "+" behind it where there is an access control list."""
    kind = stat_bits.S_IFDIR if status.is_directory else stat_bits.S_IFREG
    return stat_bits.filemode(kind | status.mode) + ("+" if status.has_acl else "")


def time_text(at_ms: int, seconds: bool = False) -> str:
    """Milliseconds since 1970 as "2026-01-31 17:05", UTC, with its *seconds* if wanted."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime(form)
