"""docs/build.py finds dead links and headings, and leads living ones to the rendered pages."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load_script


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("docs/build.py")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "SITE", tmp_path / "site")
    (tmp_path / "docs").mkdir()
    return module


def test_a_dead_link_and_a_dead_heading_are_told(
    docs: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("# A\n[x](docs/gone.md) [y](docs/p.md#nowhere) [z](#none)")
    (tmp_path / "docs" / "p.md").write_text("# Here it is\n")
    assert docs.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "README.md: 'docs/gone.md': no such file",
        "README.md: 'docs/p.md#nowhere': docs/p.md has no such heading",
        "README.md: '#none': README.md has no such heading",
    ]
    assert not (tmp_path / "site").exists()


def test_living_links_lead_to_the_rendered_pages(docs: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "# A\n[x](docs/p.md#here-it-is) [a](#a) [w](https://example.org/x.md) [code](docs/x.py)"
    )
    (tmp_path / "docs" / "p.md").write_text(
        "# Here *it* is\n\n|a|b|\n|-|-|\n|1|2|\n[up](../README.md)"
    )
    (tmp_path / "docs" / "x.py").write_text("")
    assert docs.main([]) == 0
    home = (tmp_path / "site" / "index.html").read_text()
    assert 'href="docs/p.html#here-it-is"' in home
    assert 'href="https://example.org/x.md"' in home
    page = (tmp_path / "site" / "docs" / "p.html").read_text()
    assert 'id="here-it-is"' in page
    assert 'href="../index.html"' in page
    assert "<table>" in page
