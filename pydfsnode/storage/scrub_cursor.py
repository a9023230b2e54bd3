"""Where a round of the scrubber stands, kept over restarts. A hint: losing it costs a new round."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pydfsnode.obs.log import get_logger

FILE_NAME = "scrub.json"
_log = get_logger("storage.scrub_cursor")


class ScrubCursor(msgspec.Struct, forbid_unknown_fields=True):
    """A round verifies chunks by ascending id."""

    began_ms: int = 0
    """Wall clock; 0: no round yet."""
    verified_up_to: int = 0
    """The last chunk id that was verified."""
    done_bytes: int = 0
    rounds: int = 0
    """Rounds that ended."""
    ended_ms: int = 0
    """When the last one did; 0: none."""


def load_cursor(directory: Path, now_ms: int) -> ScrubCursor:
    """What `save_cursor` kept; a new one when there is none, or none that can be."""
    path = directory / FILE_NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ScrubCursor)
    except FileNotFoundError:
        return ScrubCursor()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("the scrubber begins anew", file=str(path), error=str(error))
        return ScrubCursor()
    if found.began_ms > now_ms:  # the clock was set back
        found.began_ms = now_ms
    return found


def save_cursor(directory: Path, cursor: ScrubCursor) -> None:
    """Keep *cursor*; not synced, as it may be lost. Blocking."""
    path = directory / FILE_NAME
    beside = path.with_name(f"{FILE_NAME}.new")
    try:
        beside.write_bytes(msgspec.json.encode(cursor) + b"\n")
        beside.replace(path)
    except OSError as error:
        _log.warning("where the scrubber stands is not kept", file=str(path), error=str(error))
