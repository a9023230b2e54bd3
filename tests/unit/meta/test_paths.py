"""Paths are absolute, short enough, and have one spelling."""

from __future__ import annotations

import pytest

from pydfsnode.errors import InvalidPath
from pydfsnode.meta import paths


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/", []),
        ("/a", ["a"]),
        ("/a/b c/.hidden/…", ["a", "b c", ".hidden", "…"]),
        ("/" + "n" * 255, ["n" * 255]),
        ("/" + "ü" * 127, ["ü" * 127]),
        ("/a\nb", ["a\nb"]),
    ],
)
def test_a_path_splits_into_its_names(path: str, names: list[str]) -> None:
    assert paths.parse(path) == names


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "a/b", "//", "/a/", "/a//b", "/.", "/a/..", "/../a", "/a/./b", "/a\0b",
        "/" + "n" * 256, "/" + "ü" * 128, "/a" * 2049, "/" + "\ud800",
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused_with_the_path_in_the_message(path: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        paths.parse(path)
    assert paths.shown(path) in caught.value.message


def test_the_longest_path_is_accepted_and_one_byte_more_is_not() -> None:
    longest = ("/" + "n" * 255) * 16
    assert len(paths.parse(longest)) == 16
    with pytest.raises(InvalidPath, match="4097 bytes"):
        paths.parse("/é" + longest[2:])


def test_a_very_long_path_is_cut_in_messages() -> None:
    assert len(paths.shown("/" + "x" * 100_000)) < 300


def test_join_is_the_inverse_of_parse() -> None:
    assert paths.join("/", "a") == "/a"
    assert paths.join("/a", "b") == "/a/b"
