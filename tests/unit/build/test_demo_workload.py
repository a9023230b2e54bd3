"""The demo's comparison sees every kind of difference, and its workload is what it promises."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load_script


@pytest.fixture(scope="module")
def workload() -> ModuleType:
    return load_script("deploy/demo/workload.py")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    root = tmp_path / "stored"
    (root / "deep").mkdir(parents=True)
    (root / "a").write_bytes(b"a")
    (root / "deep" / "empty").write_bytes(b"")
    return root


def test_an_equal_tree_has_no_differences(workload: ModuleType, stored: Path) -> None:
    manifest = workload.Manifest.of(stored)
    assert manifest.size == 1
    assert set(manifest.digests) == {"a", "deep/empty"}
    assert manifest.differences(workload.Manifest.of(stored)) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "a").write_bytes(b"b"), "a: SHA-256"),
        (lambda root: (root / "deep" / "empty").unlink(), "deep/empty: not returned"),
        (lambda root: (root / "new").write_bytes(b""), "new: returned but never stored"),
    ],
    ids=["changed", "lost", "added"],
)
def test_every_difference_is_told(
    workload: ModuleType, stored: Path, damage: object, said: str
) -> None:
    before = workload.Manifest.of(stored)
    assert callable(damage)
    damage(stored)
    (sentence,) = before.differences(workload.Manifest.of(stored))
    assert sentence.startswith(said)


def test_the_whole_demo_is_of_at_least_2000_mixed_files_and_512_mib(workload: ModuleType) -> None:
    assert workload.TREE_FILES >= 2000
    assert workload.LARGE_BYTES == 512 << 20
    assert workload.SIZES[0][1:] == (0, 0)
    assert workload.SIZES[-1][2] >= 2 << 20


def test_a_small_scale_has_all_three_parts(workload: ModuleType, tmp_path: Path) -> None:
    made = workload.generate(tmp_path, 0.02, random.Random(1))
    counts = {name: len(workload.Manifest.of(path).digests) for name, path in made.items()}
    assert counts["tree"] == 40
    assert counts["large"] == 1
    assert counts["stdlib"] > 10
    sizes = [path.stat().st_size for path in workload.files_below(made["tree"])]
    assert len(set(sizes)) > 20
    assert not list(made["stdlib"].rglob("site-packages"))
