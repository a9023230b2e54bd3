"""Paths as people and fsspec write them, made into the form that the masters accept."""

from __future__ import annotations

from pydfsnode.errors import InvalidPath


def normalize(path: str) -> str:
    """*path* absolute, without empty names, "." or a final "/"; "a/b" means "/a/b".

    Raises:
        InvalidPath: it holds "..": whose parent is meant depends on who asks; or is not Unicode.
    """
    if path.isascii() and path[:1] == "/" != path[-1] and "//" not in path and "/." not in path:
        return path  # as most are
    try:
        path.encode()
    except UnicodeEncodeError:  # a local name in another encoding
        raise InvalidPath(f"{path!r} is not valid UTF-8: rename it first") from None
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise InvalidPath(f"'{path}' holds '..': write the path without it")
    return "/" + "/".join(names)


def join(directory: str, *names: str) -> str:
    """The path of *names* below *directory*."""
    return normalize("/".join((directory, *names)))


def parent(path: str) -> str:
    """The directory that holds *path*; of "/" itself."""
    return normalize(path).rpartition("/")[0] or "/"


def name(path: str) -> str:
    """The last name of *path*; "" for the root."""
    return normalize(path).rpartition("/")[2]
