"""A planted bug: a small textual change of the product, which the suites must find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`old` occurs exactly once in `file` (`tests/tidy/test_mutants.py` sees to it).

    `trap` is the number in the reference's list of traps, or the section of the paper.
    """

    name: str
    trap: str
    file: str
    old: str
    new: str

    @property
    def area(self) -> str:
        """The package that it is in."""
        return self.file.split("/")[1]


def planted_in(file: str, *found: tuple[str, str, str, str]) -> list[Mutant]:
    """Bugs of one file of the package: (name, trap, old, new) each."""
    return [Mutant(name, trap, f"pydfsnode/{file}", old, new) for name, trap, old, new in found]


def stale(mutant: Mutant, source: str) -> str:
    """Why *mutant* does not fit *source*, "" when it does."""
    count = source.count(mutant.old)
    return "" if count == 1 else f"{mutant.name}: its text occurs {count} times in {mutant.file}"
