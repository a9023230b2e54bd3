"""What a path is: absolute, '/'-separated, without '.', '..', empty names or NUL."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidPath

_SHOWN_CHARACTERS_MAX = 200


def parse(path: str) -> list[str]:
    """The names from the root down; [] for "/".

    Raises:
        InvalidPath: with the path in the message.
    """
    if path == "/":
        return []
    if not path.startswith("/"):
        raise InvalidPath(f"{shown(path)} is not absolute: a path starts with '/'")
    names = path[1:].split("/")
    # A short path of ASCII, the usual one, cannot be too long in any part.
    if len(path) > limits.NAME_BYTES_MAX or not path.isascii():
        _check_sizes(path, names)
    if "\0" in path:
        raise InvalidPath(f"{shown(path)} holds a NUL character")
    if not _FORBIDDEN_NAMES.isdisjoint(names):
        name = next(name for name in names if name in _FORBIDDEN)
        raise InvalidPath(
            f"{shown(path)} holds {_FORBIDDEN[name]}: write the path in its shortest form"
        )
    return names


def join(directory: str, name: str) -> str:
    """The path of *name* in *directory*."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"


def shown(path: str) -> str:
    """*path* quoted for a message, cut when it is very long."""
    if len(path) > _SHOWN_CHARACTERS_MAX:
        path = path[:_SHOWN_CHARACTERS_MAX] + "…"
    return repr(path)


_FORBIDDEN = {"": "an empty name", ".": "the name '.'", "..": "the name '..'"}
_FORBIDDEN_NAMES = frozenset(_FORBIDDEN)


def _check_sizes(path: str, names: list[str]) -> None:
    try:
        path_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidPath(f"{shown(path)} is not valid Unicode") from None
    if path_bytes > limits.PATH_BYTES_MAX:
        raise InvalidPath(
            f"{shown(path)} has {path_bytes} bytes; the most is {limits.PATH_BYTES_MAX}"
        )
    for name in names:
        if len(name.encode()) > limits.NAME_BYTES_MAX:
            raise InvalidPath(
                f"{shown(path)} holds a name of {len(name.encode())} bytes; "
                f"the most is {limits.NAME_BYTES_MAX}"
            )
