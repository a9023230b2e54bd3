"""`fs seal`."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import FakeFiles


def test_a_directory_is_told_shown_and_left_to_the_one_above(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f")
    assert run("fs", "seal", "/d").out == "default\n"
    for choice in ("off", "on", "on"):
        assert run("fs", "seal", "/d", choice).code == 0
        assert files.nodes["/d"].xattrs == {"trusted.seal": choice.encode()}
        assert run("fs", "seal", "/d").out == f"{choice}\n"
    assert json.loads(run("fs", "seal", "--json", "/d").out) == {"path": "/d", "seal": "on"}
    for _ in range(2):
        assert run("fs", "seal", "/d", "default").code == 0
        assert files.nodes["/d"].xattrs == {}


def test_a_file_has_no_choice_of_its_own(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f")
    result = run("fs", "seal", "/d/f", "off")
    assert result.code == 1
    assert "its directory decides" in result.err
    assert files.nodes["/d/f"].xattrs == {}


def test_wrong_usage(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f")
    assert run("fs", "seal", "/d", "maybe").code == 2
    assert run("fs", "seal").code == 2
