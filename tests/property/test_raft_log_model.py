"""`EntryLog` against a plain list, through appends, truncations and restarts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pydfsnode._fast import encode_entry
from pydfsnode.raft.log import EntryLog
from pydfsnode.raft.types import LogStart

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("truncate"), st.integers(0, 8), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=30,
)


def reopened(model: list[tuple[int, bytes]]) -> EntryLog:
    runs: list[tuple[int, int]] = []
    for index, (term, _) in enumerate(model, 1):
        if not runs or runs[-1][1] != term:
            runs.append((index, term))
    held = [entry for _, entry in model]
    return EntryLog(LogStart(1, len(held), runs, 0, lambda a, b, size: held[a - 1 : b]))


@given(ACTIONS)
@settings(max_examples=300, deadline=None)
def test_the_log_equals_a_list(actions: list[tuple[str, int, int]]) -> None:
    model: list[tuple[int, bytes]] = []
    log = reopened(model)
    for kind, amount, count in actions:
        if kind == "append":
            term = (model[-1][0] if model else 1) + amount
            for _ in range(count):
                entry = encode_entry(len(model) + 1, term, 1, b"x")
                model.append((term, entry))
                assert log.append(term, entry) == len(model)
        elif kind == "truncate" and model:
            keep = max(0, len(model) - amount)
            if keep < len(model):
                del model[keep:]
                log.truncate_from(keep + 1)
        else:
            log = reopened(model)
        check(log, model)


def check(log: EntryLog, model: list[tuple[int, bytes]]) -> None:
    assert log.last_index == len(model)
    assert log.last_term == (model[-1][0] if model else 0)
    assert [log.term_at(i) for i in range(1, len(model) + 1)] == [t for t, _ in model]
    assert log.term_at(len(model) + 1) == -1
    assert log.term_at(0) == 0
    got: list[bytes] = []
    while len(got) < len(model):
        got += log.entries(len(got) + 1, len(model), 1 << 30)
    assert got == [entry for _, entry in model]
    for index in range(len(model) + 1):
        for term in range(8):
            expected = max((i for i in range(1, index + 1) if model[i - 1][0] <= term), default=0)
            expected_term = model[expected - 1][0] if expected else 0
            assert log.find_conflict_by_term(index, term) == (expected, expected_term)
