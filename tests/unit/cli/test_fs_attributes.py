"""`fs getfacl setfacl getfattr setfattr quota snapshot`."""

from __future__ import annotations

import json

import click
import pytest

from pydfsnode.cli.fs_attributes import decoded, encoded
from pydfsnode.cli.fs_size import parse_size
from pydfsnode.client.model import Difference, SnapshotInfo
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import NOW_MS, FakeFiles


def test_getfacl_of_what_has_only_a_mode(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    assert run("fs", "getfacl", "/f").out == (
        "# file: /f\n# owner: ann\n# group: staff\nuser::rw-\ngroup::r--\nother::r--\n\n"
    )


def test_getfacl_shows_what_the_mask_leaves(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f")
    files.nodes["/d"].entries = ("user:bob:rwx", "group::rwx", "group:eng:r--", "mask::r-x")
    files.nodes["/d"].mode = 0o1755
    lines = run("fs", "getfacl", "-R", "/d").out.splitlines()
    assert lines[3:10] == [
        "# flags: --t",
        "user::rwx",
        "user:bob:rwx\t#effective:r-x",
        "group::rwx\t#effective:r-x",
        "group:eng:r--",
        "mask::r-x",
        "other::r-x",
    ]
    assert "# file: /d/f" in lines


def test_getfacl_as_json(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    result = run("fs", "getfacl", "--json", "/f", "/nothing")
    assert result.code == 1
    assert json.loads(result.out) == [
        {"path": "/f", "owner": "ann", "group": "staff", "mode": "0644",
         "entries": ["user::rw-", "group::r--", "other::r--"]}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        (["-b"], [((), "remove_all")]),
        (["-k"], [((), "remove_default")]),
        (["-m", "user:bob:r-x,group:eng:rwx"], [(("user:bob:r-x", "group:eng:rwx"), "modify")]),
        (["-x", "user:bob"], [(("user:bob",), "remove")]),
        (["--set", "user::rw-, group::r--,other::---"],
         [(("user::rw-", "group::r--", "other::---"), "set")]),
        (["-m", "user:bob:r-x", "-x", "user:eve"],
         [(("user:bob:r-x",), "modify"), (("user:eve",), "remove")]),
    ],
)  # fmt: skip
def test_setfacl(
    run: Run, files: FakeFiles, flags: list[str], calls: list[tuple[tuple[str, ...], str]]
) -> None:
    files.tree("/d/")
    assert run("fs", "setfacl", *flags, "/d").code == 0
    assert files.calls == [("set_acl", "/d", entries, change) for entries, change in calls]


def test_setfacl_of_a_tree_gives_default_entries_to_directories_only(
    run: Run, files: FakeFiles
) -> None:
    files.tree("/d/f")
    assert run("fs", "setfacl", "-R", "-m", "user:bob:r-x,default:user:bob:r-x", "/d").code == 0
    assert files.calls == [
        ("set_acl", "/d", ("user:bob:r-x", "default:user:bob:r-x"), "modify"),
        ("set_acl", "/d/f", ("user:bob:r-x",), "modify"),
    ]
    files.calls.clear()
    assert run("fs", "setfacl", "-R", "-m", "default:user:bob:r-x", "/d").code == 0
    assert run("fs", "setfacl", "-R", "-k", "/d").code == 0
    assert [call[1] for call in files.calls] == ["/d", "/d"]


def test_setfacl_leaves_it_to_the_masters_to_refuse_default_entries_of_a_file(
    run: Run, files: FakeFiles
) -> None:
    files.tree("/f")
    run("fs", "setfacl", "-m", "default:user:bob:r-x", "/f")
    run("fs", "setfacl", "-k", "/f")
    assert files.calls == [
        ("set_acl", "/f", ("default:user:bob:r-x",), "modify"),
        ("set_acl", "/f", (), "remove_default"),
    ]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("flags", [[], ["-b", "-k"], ["-m", "user:b:r--", "--set", "user::r--"]])
def test_setfacl_wants_one_change(run: Run, flags: list[str]) -> None:
    assert run("fs", "setfacl", *flags, "/d").code == 2


@pytest.mark.parametrize(
    ("value", "codec", "shown"),
    [
        (b"hi there", None, "hi there"),
        (b"", None, ""),
        (b"hi", "hex", "0x6869"),
        (b"hi", "base64", "0saGk="),
        (b"\xff\x00", None, "0s/wA="),
        (b"\xff\x00", "text", "0s/wA="),
        (b"a\nb", None, "0sYQpi"),
        (b"0xyz", None, "0sMHh5eg=="),
        (b'"q"', None, "0sInEi"),
        ("é".encode(), None, "é"),
    ],
)
def test_values_of_attributes_there_and_back(value: bytes, codec: str | None, shown: str) -> None:
    assert encoded(value, codec) == shown
    assert decoded(shown) == value


def test_a_value_may_stand_in_quotes() -> None:
    assert decoded('"0x41"') == b"0x41"
    assert decoded('"') == b'"'
    for wrong in ("0xzz", "0s!!", "0x4"):
        with pytest.raises(click.BadParameter, match="is no hex"):
            decoded(wrong)


def test_attributes_are_set_shown_and_removed(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    assert run("fs", "setfattr", "-n", "user.b", "-v", "0x00ff", "/f").code == 0
    assert run("fs", "setfattr", "-n", "user.a", "-v", "text", "/f").code == 0
    assert run("fs", "setfattr", "-n", "user.none", "/f").code == 0
    assert files.nodes["/f"].xattrs == {"user.a": b"text", "user.b": b"\0\xff", "user.none": b""}
    assert run("fs", "getfattr", "-d", "/f").out == (
        '# file: /f\nuser.a="text"\nuser.b=0sAP8=\nuser.none\n\n'
    )
    assert run("fs", "getfattr", "-n", "user.a", "-e", "hex", "/f").out == (
        "# file: /f\nuser.a=0x74657874\n\n"
    )
    assert json.loads(run("fs", "getfattr", "-d", "-R", "--json", "/f").out) == [
        {"path": "/f", "xattrs": {"user.a": "text", "user.b": "0sAP8=", "user.none": ""}}
    ]
    assert run("fs", "setfattr", "-x", "user.a", "/f").code == 0
    result = run("fs", "getfattr", "-n", "user.a", "/f")
    assert (result.code, result.out) == (1, "")
    assert "'/f' has no attribute user.a" in result.err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "command",
    [("getfattr",), ("getfattr", "-d", "-n", "user.a"), ("setfattr",), ("setfattr", "-v", "1"),
     ("setfattr", "-n", "user.a", "-x", "user.a"), ("setfattr", "-x", "user.a", "-v", "1"),
     ("setfattr", "-n", "user.a", "-v", "0xg"), ("quota", "set"),
     ("quota", "set", "--names", "0"), ("quota", "set", "--space", "0"),
     ("quota", "set", "--space", "much")],
)  # fmt: skip
def test_wrong_usage(run: Run, command: tuple[str, ...]) -> None:
    assert run("fs", *command, "/f").code == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("4k", 4096), ("1M", 1 << 20), ("10GiB", 10 << 30),
     ("2TB", 2 << 40), ("1e", 1 << 60), ("7b", 7)],
)  # fmt: skip
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5G", "1 G", "1X"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no number of bytes"):
        parse_size(text)


def test_quotas_are_set_shown_and_cleared(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", content=b"12345")
    assert run("fs", "quota", "set", "--names", "100", "--space", "1K", "/d").code == 0
    assert files.nodes["/d"].quota == (100, 1024)
    assert run("fs", "quota", "show", "/d", "/").out.splitlines() == [
        "PATH  NAMES  QUOTA  LEFT  SPACE  QUOTA  LEFT",
        "/d        2    100    98     15   1024  1009",
        "/         3   none     -     15   none     -",
    ]
    assert json.loads(run("fs", "quota", "show", "--json", "/d").out) == [
        {"path": "/d", "names_quota": 100, "names_used": 2, "space_quota": 1024,
         "space_used_bytes": 15}
    ]  # fmt: skip
    assert run("fs", "quota", "set", "--space", "10", "/d").code == 0
    assert run("fs", "quota", "show", "/d").out.split()[-2:] == ["10", "0"]
    assert run("fs", "quota", "clear", "--names", "/d").code == 0
    assert files.nodes["/d"].quota == (0, 10)
    files.nodes["/d"].quota = (7, 10)
    assert run("fs", "quota", "clear", "/d").code == 0
    assert files.nodes["/d"].quota == (0, 0)


def test_snapshots_are_made_listed_renamed_and_deleted(run: Run, files: FakeFiles) -> None:
    files.tree("/d/")
    assert run("fs", "snapshot", "create", "/d", "s1").out == "Created snapshot /d/.snapshot/s1\n"
    made = json.loads(run("fs", "snapshot", "create", "--json", "/d").out)
    assert made["name"].startswith("s20")
    assert made["snapshot"] == f"/d/.snapshot/{made['name']}"
    files.kept["/d"] = [SnapshotInfo("b", NOW_MS + 60_000), SnapshotInfo("a", NOW_MS + 120_000),
                        SnapshotInfo("c", NOW_MS)]  # fmt: skip
    assert run("fs", "snapshot", "list", "/d").out.splitlines() == [
        "2023-11-14 22:13  /d/.snapshot/c",
        "2023-11-14 22:14  /d/.snapshot/b",
        "2023-11-14 22:15  /d/.snapshot/a",
    ]
    (first, *_) = json.loads(run("fs", "snapshot", "list", "--json", "/d").out)
    assert first == {"path": "/d/.snapshot/c", "name": "c", "created_ms": NOW_MS}
    assert run("fs", "snapshot", "rename", "/d", "c", "e").code == 0
    assert run("fs", "snapshot", "delete", "/d", "e").code == 0
    assert files.calls == [("rename_snapshot", "/d", "c", "e"), ("delete_snapshot", "/d", "e")]
    result = run("fs", "snapshot", "create", "/nothing", "s1")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("No such file or directory [2001]\n")


def test_snapshot_diff(run: Run, files: FakeFiles) -> None:
    files.tree("/d/")
    files.differences = [
        Difference("M", ""), Difference("+", "a"), Difference("-", "sub/b"),
        Difference("R", "c", "sub/.e"),
    ]  # fmt: skip
    assert run("fs", "snapshot", "diff", "/d", "s1").out.splitlines() == [
        "Difference between snapshot s1 and current directory under directory /d:",
        "M\t.",
        "+\t./a",
        "-\t./sub/b",
        "R\t./c -> ./sub/.e",
    ]
    shown = run("fs", "snapshot", "diff", "/d", "s1", "s2").out
    assert shown.startswith("Difference between snapshot s1 and snapshot s2 under")
    found = json.loads(run("fs", "snapshot", "diff", "--json", "/d", "s1", ".").out)
    assert found[3] == {"kind": "R", "path": "c", "target": "sub/.e"}
    assert [call[1:] for call in files.calls] == [
        ("/d", "s1", ""), ("/d", "s1", "s2"), ("/d", "s1", ""),
    ]  # fmt: skip
