"""Patterns: what they mean, and how verbs expand them."""

from __future__ import annotations

import pytest

from pydfsnode.cli.fs_glob import alternatives, compiled, matches, shell_pattern
from pydfsnode.errors import InvalidArgument, InvalidPath
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import FakeFiles


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*", ["", "a", ".hidden", "a\nb"], []),
        ("*.gz", ["a.gz", ".gz"], ["a.gzip", "agz"]),
        ("a?c", ["abc", "a.c"], ["ac", "abbc"]),
        ("[ab-d]", ["a", "b", "c", "d"], ["e", "-", "ab"]),
        ("[^a-c]x", ["dx", "^x"], ["ax"]),
        ("[!a]", ["b", "!"], ["a"]),
        ("[z-a]", [], ["a", "m", "z"]),
        ("[]]", ["]"], ["["]),
        ("[a&&b]", ["&"], ["c"]),
        ("[", ["["], ["x"]),
        (r"\*", ["*"], ["a"]),
        (r"a\\b", [r"a\b"], ["ab"]),
        ("a+(b).", ["a+(b)."], ["aab."]),
        ("été*", ["été 1"], ["ete"]),
    ],
)
def test_a_pattern_of_a_name(pattern: str, yes: list[str], no: list[str]) -> None:
    found = compiled(pattern)
    assert [name for name in yes + no if found.match(name)] == yes


@pytest.mark.parametrize(
    ("pattern", "any_case", "sent"),
    [
        ("*.gz", False, "*.gz"), ("[^a-c]?", False, "[!a-c]?"), (r"\*a", False, "[*]a"),
        ("A*.g", True, "[Aa]*.[gG]"), ("[a-c]", True, "[a-cA-C]"), ("ß1", True, "ß1"),
    ],
)  # fmt: skip
def test_a_pattern_as_the_masters_take_it(pattern: str, any_case: bool, sent: str) -> None:
    assert shell_pattern(pattern, any_case) == sent


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("/a", ["/a"]),
        ("/{a,b}/c", ["/a/c", "/b/c"]),
        ("/{a/b,c}", ["/a/b", "/c"]),
        ("/{a,b}{1,2}", ["/a1", "/a2", "/b1", "/b2"]),
        ("/{a,{b,c}d}", ["/a", "/bd", "/cd"]),
        ("/{,x}", ["/", "/x"]),
        (r"/\{a,b}", [r"/\{a,b}"]),
        ("/{a,b", ["/{a,b"]),
    ],
)
def test_braces_mean_each_of_what_they_hold(pattern: str, meant: list[str]) -> None:
    assert sorted(alternatives(pattern)) == sorted(meant)


def test_braces_cannot_mean_too_much() -> None:
    with pytest.raises(InvalidArgument, match="more than 1024"):
        alternatives("/" + "{a,b}" * 11)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/logs/*", ["/logs/a.gz", "/logs/b.txt", "/logs/old"]),
        ("/l*/*.gz", ["/logs/a.gz"]),
        ("/*/old/c.gz", ["/logs/old/c.gz"]),
        ("/logs/*/*", ["/logs/old/c.gz"]),
        ("/logs/{a,b}.*", ["/logs/a.gz", "/logs/b.txt"]),
        ("/logs/{a.gz,z.gz}", ["/logs/a.gz"]),
        ("/logs/{a.*,*.gz}", ["/logs/a.gz"]),
        ("/logs/z*", ["/logs/z*"]),
        ("/nothing/*", ["/nothing/*"]),
        ("/logs/a.gz/*", ["/logs/a.gz/*"]),
        ("/nothing", ["/nothing"]),
    ],
)
async def test_matches_are_existing_paths_else_the_pattern(pattern: str, found: list[str]) -> None:
    fs = FakeFiles()
    fs.tree("/logs/a.gz", "/logs/b.txt", "/logs/old/c.gz")
    assert await matches(fs, pattern) == found  # type: ignore[arg-type]


async def test_what_may_not_be_listed_matches_nothing() -> None:
    fs = FakeFiles()
    fs.tree("/a/x", "/b/x")
    fs.closed.add("/a")
    assert await matches(fs, "/*/*") == ["/b/x"]  # type: ignore[arg-type]


async def test_a_pattern_with_dots_is_refused() -> None:
    with pytest.raises(InvalidPath, match=r"'\.\.'"):
        await matches(FakeFiles(), "/a/../*")  # type: ignore[arg-type]


def test_verbs_of_several_paths_expand_them(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a1", "/d/a2", "/d/b", content=b"x")
    assert run("fs", "cat", "/d/a*").out == "xx"
    assert run("fs", "ls", "-d", "-C", "/d/[ab]?").out == "/d/a1\n/d/a2\n"
    assert run("fs", "rm", "-skipTrash", "/d/a*").out == "Deleted /d/a1\nDeleted /d/a2\n"
    assert sorted(files.nodes) == ["/", "/d", "/d/b"]


def test_a_wrong_pattern_is_told_and_the_other_paths_are_done(run: Run, files: FakeFiles) -> None:
    files.tree("/a")
    result = run("fs", "ls", "-C", "/" + "{a,b}" * 11, "/a")
    assert (result.code, result.out) == (1, "/a\n")
    assert "means more than 1024 patterns [2008]" in result.err
