"""Warm buffers are whole, aligned, nobody else's while a view of them lives, and used again."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from pydfsnode.limits import PACKET_BYTES
from pydfsnode.rpc.chunk_packets import HEAD_BYTES
from tests.reference import warm_buffers as reference


@given(
    steps=st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.integers(-1, PACKET_BYTES + 5000), st.integers(-1, 5000)),
            st.tuples(st.just(PACKET_BYTES + HEAD_BYTES), st.just(HEAD_BYTES)),
        ),
        max_size=60,
    )
)
def test_the_pool_agrees_with_the_reference(steps: list[tuple[int, int] | None]) -> None:
    pool = reference.Pool(fast.kept_blocks())
    held: list[memoryview] = []
    for step in steps:
        if step is None:
            if held:
                held.pop()
                pool.let_go()
        else:
            before = len(held)
            with contextlib.suppress(ValueError):
                held.append(memoryview(fast.WarmBuffer(*step)))
                assert len(held[-1]) == step[0]
            assert (len(held) > before) == pool.take(*step)
        assert fast.kept_blocks() == pool.kept


@pytest.mark.parametrize("lead", [0, HEAD_BYTES, 4096])
def test_what_follows_the_lead_begins_on_a_page(lead: int) -> None:
    view = memoryview(fast.WarmBuffer(PACKET_BYTES + lead, lead))
    assert fast.is_page_aligned(view[lead:])
    assert not fast.is_page_aligned(view[lead + 1 :])
    assert not fast.is_page_aligned(view[lead:-1])


def test_every_byte_is_there_and_frozen_views_cannot_be_written() -> None:
    content = random.Random(1).randbytes(PACKET_BYTES + HEAD_BYTES)
    buffer = fast.WarmBuffer(len(content), HEAD_BYTES)
    with memoryview(buffer) as view:
        view[:] = content
    frozen = buffer.frozen_view()
    assert frozen == content
    assert frozen.readonly
    assert memoryview(buffer).readonly


def test_a_slice_keeps_the_memory_from_being_used_by_another() -> None:
    buffer = fast.WarmBuffer(PACKET_BYTES)
    with memoryview(buffer) as view:
        view[:] = b"a" * PACKET_BYTES
    kept = buffer.frozen_view()[500:600][10:20]
    del buffer
    others = [fast.WarmBuffer(PACKET_BYTES) for _ in range(reference.KEPT_MAX + 2)]
    for other in others:
        with memoryview(other) as view:
            view[:] = b"b" * PACKET_BYTES
    assert bytes(kept) == b"a" * 10


def test_threads_take_and_let_go_at_the_same_time() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        mark = bytes([number]) * PACKET_BYTES
        for _ in range(30):
            with memoryview(fast.WarmBuffer(PACKET_BYTES)) as view:
                view[:] = mark
                if fast.crc32c(view) != fast.crc32c(mark):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert fast.kept_blocks() <= reference.KEPT_MAX


def test_a_frame_that_is_cut_gives_its_buffer_back() -> None:
    memoryview(fast.WarmBuffer(PACKET_BYTES)).release()  # at least one is kept
    before = fast.kept_blocks()
    reader = fast.FrameReader(4 << 20)
    head = fast.frame_head(PACKET_BYTES, 1, 3, 0) + b"begun"
    view = reader.get_buffer(-1)
    view[: len(head)] = head
    assert reader.buffer_updated(len(head)) == []
    assert fast.kept_blocks() == before - 1
    lent = reader.get_buffer(-1)
    del reader
    lent[:] = b"w" * len(lent)  # what the transport still has stays memory of ours
    assert fast.kept_blocks() == before - 1
    del view, lent
    assert fast.kept_blocks() == before
