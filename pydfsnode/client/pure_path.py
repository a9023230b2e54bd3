"""What an object that stands for a path knows without asking the cluster, as pathlib names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Self

from pydfsnode.client import paths

PROTOCOL = "pydfs"


class PurePath:
    """An absolute path in a cluster. Equal and ordered as its text; hashable.

    It is no `os.PathLike`: `open(path)` of Python would look for it on this machine.
    """

    __slots__ = ("_pure",)

    def __init__(self, path: str | PurePosixPath) -> None:
        """Args: path: made absolute and normal.

        Raises:
            InvalidPath: it holds "..".
        """
        self._pure = PurePosixPath(paths.normalize(str(path)))

    def _with(self, path: PurePosixPath) -> Self:
        """Another path in the same file system."""
        return type(self)(path)

    def __truediv__(self, below: str | PurePosixPath) -> Self:
        return self.joinpath(below)

    def joinpath(self, *below: str | PurePosixPath) -> Self:
        """The path of *below*, one below the other; an absolute one begins anew."""
        return self._with(self._pure.joinpath(*below))

    @property
    def parent(self) -> Self:
        """The directory that holds it; of "/" itself."""
        return self._with(self._pure.parent)

    @property
    def parents(self) -> Sequence[Self]:
        """Its directory, the directory of that, and so on up to "/"."""
        return tuple(self._with(above) for above in self._pure.parents)

    @property
    def parts(self) -> tuple[str, ...]:
        """ "/" and the names."""
        return self._pure.parts

    @property
    def name(self) -> str:
        """The last name; "" of "/"."""
        return self._pure.name

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self._pure.stem

    @property
    def suffix(self) -> str:
        """The last of the name's suffixes, ".gz", or ""."""
        return self._pure.suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name: [".tar", ".gz"]."""
        return self._pure.suffixes

    def with_name(self, name: str) -> Self:
        """Beside it, of another name."""
        return self._with(self._pure.with_name(name))

    def with_stem(self, stem: str) -> Self:
        """Beside it, of another name with the same suffix."""
        return self._with(self._pure.with_stem(stem))

    def with_suffix(self, suffix: str) -> Self:
        """Beside it, with another suffix."""
        return self._with(self._pure.with_suffix(suffix))

    def relative_to(self, above: PurePath | str) -> PurePosixPath:
        """The way from *above* to it; raises ValueError when it is not below."""
        return self._pure.relative_to(str(above))

    def is_relative_to(self, above: PurePath | str) -> bool:
        """Whether it is *above* or below it."""
        return self._pure.is_relative_to(str(above))

    def match(self, pattern: str) -> bool:
        """Whether its last names match, as with pathlib."""
        return self._pure.match(pattern)

    def as_posix(self) -> str:
        """Its text."""
        return str(self._pure)

    def as_uri(self) -> str:
        """Its text for fsspec: "pydfs:///a/b"."""
        return f"{PROTOCOL}://{self._pure}"

    def __str__(self) -> str:
        return str(self._pure)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self._pure}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PurePath) and self._pure == other._pure

    def __lt__(self, other: PurePath) -> bool:
        return self._pure < other._pure

    def __hash__(self) -> int:
        return hash(self._pure)
