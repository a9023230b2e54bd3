"""Majority arithmetic as functions, over one set of voters and over the two of a joint change."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydfsnode.raft.configuration import Configuration


def majority(voter_count: int) -> int:
    """How many of *voter_count* are a majority."""
    return voter_count // 2 + 1


def committed(match_indexes: Iterable[int]) -> int:
    """The largest index that a majority holds; one match index per voter, the own one included."""
    ordered = sorted(match_indexes, reverse=True)
    return ordered[majority(len(ordered)) - 1] if ordered else 0


def has_majority(agreed: int, voter_count: int) -> bool:
    """Whether *agreed* voters of *voter_count* are a majority."""
    return agreed >= majority(voter_count)


def joint_committed(configuration: Configuration, index_of: Callable[[str], int]) -> int:
    """The largest index that a majority of each set of voters holds (Raft §6).

    Args:
        index_of: the match index of a voter; any number that only grows may be asked for so.
    """
    index = committed(map(index_of, configuration.voters))
    if configuration.outgoing:
        index = min(index, committed(map(index_of, configuration.outgoing)))
    return index


def joint_majority(configuration: Configuration, agrees: Callable[[str], bool]) -> bool:
    """Whether a majority of each set of voters agrees; never in a configuration without voters."""
    voters, outgoing = configuration.voters, configuration.outgoing
    if not voters or not has_majority(sum(map(agrees, voters)), len(voters)):
        return False
    return not outgoing or has_majority(sum(map(agrees, outgoing)), len(outgoing))
