"""Errors of the namespace that are Python's own errors as well, for callers that block.

`except FileNotFoundError` of a program that knows nothing of pydfsnode catches what it should, and
`except NotFound` still does. Code, fields and message are those of the error that it was.
"""

from __future__ import annotations

import errno
import io

from pydfsnode import errors
from pydfsnode.errors import Field, PydfsError


class NotFound(errors.NotFound, FileNotFoundError):
    """Nothing is there."""


class AlreadyExists(errors.AlreadyExists, FileExistsError):
    """Something is there."""


class NotADirectory(errors.NotADirectory, NotADirectoryError):
    """A file is where a directory should be."""


class IsADirectory(errors.IsADirectory, IsADirectoryError):
    """A directory is where a file should be."""


class DirectoryNotEmpty(errors.DirectoryNotEmpty, OSError):
    """A directory has entries still."""


class AccessDenied(errors.AccessDenied, PermissionError):
    """The caller may not."""


class QuotaExceeded(errors.QuotaExceeded, OSError):
    """A directory's quota is used up."""


class InvalidPath(errors.InvalidPath, ValueError):
    """No path that there could be."""


class InvalidArgument(errors.InvalidArgument, ValueError):
    """A value that cannot be."""


class NotSupported(errors.NotSupported, io.UnsupportedOperation):
    """Nothing of this kind is there."""


class DeadlineExceeded(errors.DeadlineExceeded, TimeoutError):
    """There was no answer in time."""


_BOTH: dict[type[PydfsError], tuple[type[PydfsError], int]] = {
    errors.NotFound: (NotFound, errno.ENOENT),
    errors.AlreadyExists: (AlreadyExists, errno.EEXIST),
    errors.NotADirectory: (NotADirectory, errno.ENOTDIR),
    errors.IsADirectory: (IsADirectory, errno.EISDIR),
    errors.DirectoryNotEmpty: (DirectoryNotEmpty, errno.ENOTEMPTY),
    errors.AccessDenied: (AccessDenied, errno.EACCES),
    errors.QuotaExceeded: (QuotaExceeded, errno.EDQUOT),
    errors.InvalidPath: (InvalidPath, errno.EINVAL),
    errors.InvalidArgument: (InvalidArgument, errno.EINVAL),
    errors.NotSupported: (NotSupported, errno.ENOTSUP),
    errors.DeadlineExceeded: (DeadlineExceeded, errno.ETIMEDOUT),
}


def as_builtin(error: BaseException) -> BaseException:
    """*error*, or one that tells the same and is Python's own kind of error too."""
    found = _BOTH.get(type(error)) if isinstance(error, PydfsError) else None
    if found is None or not isinstance(error, PydfsError):
        return error
    kind, number = found
    fields: dict[str, Field] = error.fields
    both = kind(error.message, **fields)
    if isinstance(both, OSError):
        both.errno = number
        both.strerror = error.message
        both.filename = fields.get("path")
    both.__cause__ = error.__cause__
    return both.with_traceback(error.__traceback__)
