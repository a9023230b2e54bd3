"""Error codes are a promise to clients of every version: unique, and never reused."""

from __future__ import annotations

from pathlib import Path

from pydfsnode import errors

GOLDEN = Path(__file__).with_name("error_codes.txt")
FAMILIES = {
    errors.ConfigError: 1,
    errors.DomainError: 2,
    errors.ClusterError: 3,
    errors.ProtocolError: 4,
    errors.StorageError: 5,
    errors.SecurityError: 6,
    errors.InvariantViolation: 9,
}


def subclasses(base: type[errors.PydfsError]) -> list[type[errors.PydfsError]]:
    return [base] + [found for sub in base.__subclasses__() for found in subclasses(sub)]


CLASSES = [found for found in subclasses(errors.PydfsError) if found.__module__ == errors.__name__]


def golden() -> list[tuple[int, str]]:
    """(code, name) of every code ever given; the name of a removed class ends in " retired"."""
    lines = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]
    return [(int(code), name) for code, _, name in (line.partition(" ") for line in lines)]


def test_every_class_has_a_code_of_its_own() -> None:
    for found in CLASSES:
        assert "code" in vars(found), (
            f"{found.__name__} inherits the code {found.code}; give it one"
        )
    codes = [found.code for found in CLASSES]
    assert len(codes) == len(set(codes)), sorted(code for code in codes if codes.count(code) > 1)


def test_every_code_lies_in_its_family() -> None:
    for family, thousands in FAMILIES.items():
        for found in subclasses(family):
            assert found.code // 1000 == thousands, f"{found.__name__} has code {found.code}"
    named = {found for family in FAMILIES for found in subclasses(family)} | {errors.PydfsError}
    assert set(CLASSES) <= named


def test_no_code_was_changed_reused_or_left_unrecorded() -> None:
    now = {(found.code, found.__name__) for found in CLASSES}
    given = {entry for entry in golden() if not entry[1].endswith(" retired")}
    assert now == given, (
        f"new: add to {GOLDEN.name} {sorted(now - given)}; "
        f"gone: mark as retired there {sorted(given - now)}"
    )


def test_the_record_gives_no_code_twice() -> None:
    codes = [code for code, _ in golden()]
    assert codes == sorted(set(codes))


def test_a_peer_rebuilds_the_class_from_the_code() -> None:
    for found in CLASSES:
        assert type(errors.from_wire(found.code, "message")) is found
