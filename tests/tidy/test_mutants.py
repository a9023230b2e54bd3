"""The planted bugs of tests/mutants fit the code: `make mutants` would otherwise test nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant, stale
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_fits_the_code(mutant: Mutant) -> None:
    assert stale(mutant, (ROOT / mutant.file).read_text()) == ""
    assert mutant.old != mutant.new


def test_every_planted_bug_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
