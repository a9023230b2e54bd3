"""Majority arithmetic as functions."""

from __future__ import annotations

from collections.abc import Iterable


def majority(voter_count: int) -> int:
    """How many of *voter_count* are a majority."""
    return voter_count // 2 + 1


def committed(match_indexes: Iterable[int]) -> int:
    """The largest index that a majority holds; one match index per voter, the own one included."""
    ordered = sorted(match_indexes, reverse=True)
    return ordered[majority(len(ordered)) - 1]


def has_majority(agreed: int, voter_count: int) -> bool:
    """Whether *agreed* voters of *voter_count* are a majority."""
    return agreed >= majority(voter_count)
