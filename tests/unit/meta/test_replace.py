"""A namespace becomes another one in place; digests of intervals tell states apart."""

from __future__ import annotations

from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.rows import Row
from pydfsnode.meta.state import DIGEST_EVERY, Namespace

from .harness import ADMIN, Harness
from .op_stream import BOUNDS, START_MS, run, stream


def copy_of(namespace: Namespace, rows: list[Row]) -> Namespace:
    again = Namespace(namespace.sessions.bounds)
    for table, key, value in rows:
        if value is not None:
            again.load_row(table, key, value)
    again.finish_load()
    return again


def test_who_holds_the_namespace_sees_the_other_one() -> None:
    newer = run(3, 500)
    here = Harness(BOUNDS)
    here.write("/gone", 10)
    held = here.namespace
    held.drain_freed()
    held.replace(copy_of(newer, newer.drain_rows()))
    assert held.state_hash() == newer.state_hash()
    assert held.applied_index == newer.applied_index
    assert held.drain_rows() == []
    assert held.drain_changed_chunks() == held.drain_freed() == []
    assert held.drain_replaced_chunks() == [1]
    assert held.drain_replaced_chunks() == []


def test_after_it_both_go_on_alike() -> None:
    newer = run(3, 500)
    held = Namespace(BOUNDS)
    held.apply(ops.Mkdirs(1, 1, 1, 0, ADMIN, "/undrained"), 1)
    held.replace(copy_of(newer, newer.drain_rows()))
    op = ops.Mkdirs(99, 1, 1, START_MS * 2, ADMIN, "/new/one", 0o755)
    for namespace in (newer, held):
        namespace.apply(op, namespace.applied_index + 1)
    assert held.state_hash() == newer.state_hash()
    assert held.drain_rows() == newer.drain_rows()
    assert queries.stat(held, "/new/one", NOBODY_ASKS).type == "directory"


OPS = stream(11, 3 * DIGEST_EVERY + 100)


def digests(drain_every: int, restart_at: int = 0) -> dict[int, bytes]:
    namespace = Namespace(BOUNDS)
    table: dict[tuple[int, bytes], bytes] = {}
    found: dict[int, bytes] = {}

    def drain() -> None:
        for number, key, value in namespace.drain_rows():
            table.pop((number, key), None)
            if value is not None:
                table[number, key] = value

    for index, op in enumerate(OPS, 1):
        namespace.apply(op, index)
        if drain_every and index % drain_every == 0:
            drain()
        if index % DIGEST_EVERY == 0:
            digest = namespace.digest_interval()
            if digest is not None:
                found[index] = digest
        if index == restart_at:
            drain()
            namespace = copy_of(namespace, [(n, k, v) for (n, k), v in table.items()])
    return found


def test_digests_do_not_depend_on_when_rows_were_drained() -> None:
    expected = digests(0)
    assert list(expected) == [DIGEST_EVERY * n for n in (1, 2, 3)]
    assert len(set(expected.values())) == 3
    assert all(len(digest) == 16 for digest in expected.values())
    for drain_every in (1, 7, 512, 1024, 1025):
        assert digests(drain_every) == expected


def test_an_interval_that_was_not_seen_whole_gives_no_digest() -> None:
    expected = digests(0)
    for restart_at in (1, 1023, 1025, 2000):
        found = digests(7, restart_at)
        missing = set(expected) - set(found)
        assert missing == {-(-restart_at // DIGEST_EVERY) * DIGEST_EVERY}
        assert all(expected[index] == digest for index, digest in found.items())


def test_an_interval_that_begins_at_a_load_is_whole() -> None:
    assert digests(7, DIGEST_EVERY) == digests(0)


def test_a_divergence_shows_in_the_interval_that_touches_it() -> None:
    namespaces = [Harness(), Harness()]
    for number, harness in enumerate(namespaces):
        harness.mkdirs("/a")
        harness.mkdirs("/b")
        if number:
            planted = harness.namespace.tree.walk("/b", NOBODY_ASKS)
            planted.mode ^= 0o007
    first, second = (harness.namespace.digest_interval() for harness in namespaces)
    assert first != second
    for harness in namespaces:
        harness.mkdirs("/c")
    first, second = (harness.namespace.digest_interval() for harness in namespaces)
    assert first == second  # /b was not touched: what is compared is what changed
