"""The compiled frame reader equals the simple one, however bytes come, and lends memory safely."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import socket
from collections.abc import Iterable

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from tests.reference import frames as reference

FRAME_BYTES_MAX = 4 << 20
LARGE_BYTES = 64 << 10  # larger frames are received in place
PROBE_BYTES = 16 << 10
WARM_BYTES = 512 << 10  # Data from here up to a chunk's packet is received into a warm buffer
PACKET_BYTES = 16 + (1 << 20)
SMALL_BUFFER_MIN = 64  # makes every frame over 54 bytes a large one

DATA = 3

FRAME = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from(reference.KINDS),
    st.integers(0, 255),
    st.binary(max_size=200),
)


def encoded(frames: Iterable[reference.Frame]) -> bytes:
    return b"".join(
        fast.frame_head(len(payload), stream_id, kind, flags) + payload
        for stream_id, kind, flags, payload in frames
    )


def feed(reader: fast.FrameReader, received: bytes) -> list[tuple[int, int, int, bytes]]:
    """Hand *received* over as a transport does: as many views as it takes."""
    frames: list[tuple[int, int, int, bytes]] = []
    while received:
        view = reader.get_buffer(-1)
        size = min(len(view), len(received))
        view[:size] = received[:size]
        for stream_id, kind, flags, payload in reader.buffer_updated(size):
            is_warm = kind == DATA and WARM_BYTES <= len(payload) <= PACKET_BYTES
            assert type(payload) is (memoryview if is_warm else bytes)
            assert memoryview(payload).readonly
            frames.append((stream_id, kind, flags, bytes(payload)))
        received = received[size:]
    return frames


def assert_agrees(pieces: list[bytes], small_buffer_bytes: int) -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX, small_buffer_bytes)
    simple = reference.FrameReader(FRAME_BYTES_MAX)
    for piece in pieces:
        assert feed(reader, piece) == simple.feed(piece)
        assert reader.pending() == len(simple.held)


@given(frame=FRAME)
def test_heads_agree(frame: reference.Frame) -> None:
    stream_id, kind, flags, payload = frame
    head = fast.frame_head(len(payload), stream_id, kind, flags)
    assert head == reference.frame_head(len(payload), stream_id, kind, flags)
    assert len(head) == fast.FRAME_HEAD_BYTES == reference.HEAD.size


@pytest.mark.parametrize(
    "numbers", [(-1, 1, 1, 0), (2**32, 1, 1, 0), (0, 2**32, 1, 0), (0, 1, 256, 0)]
)
def test_a_head_refuses_numbers_beyond_their_field(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(OverflowError):
        fast.frame_head(*numbers)


def test_every_pair_of_split_points_gives_the_same_frames() -> None:
    payloads = [b"", b"a" * 54, b"b" * 55, b"", b"c" * 120, b"d" * 3]
    data = encoded((2 * n + 1, 1 + n % 3, n, payload) for n, payload in enumerate(payloads))
    for first, second in itertools.combinations(range(len(data) + 1), 2):
        assert_agrees([data[:first], data[first:second], data[second:]], SMALL_BUFFER_MIN)


def test_single_bytes_give_the_same_frames() -> None:
    data = encoded((1, 3, 0, bytes([n]) * (n * 7)) for n in range(40))
    for small_buffer_bytes in (64, 65, 100, 1000):
        assert_agrees([data[at : at + 1] for at in range(len(data))], small_buffer_bytes)


@given(
    frames=st.lists(FRAME, max_size=20),
    cuts=st.lists(st.integers(0, 4000), max_size=20),
    small_buffer_bytes=st.integers(SMALL_BUFFER_MIN, 400),
)
def test_random_frames_in_random_pieces_agree(
    frames: list[reference.Frame], cuts: list[int], small_buffer_bytes: int
) -> None:
    data = encoded(frames)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    assert_agrees([data[a:b] for a, b in itertools.pairwise(edges)], small_buffer_bytes)


@pytest.mark.parametrize("seed", range(8))
def test_large_and_small_frames_mixed_agree_with_the_default_buffer(seed: int) -> None:
    chance = random.Random(seed)
    edges = (LARGE_BYTES, LARGE_BYTES + 1, WARM_BYTES, PACKET_BYTES, PACKET_BYTES + 1)
    sizes = [chance.choice((0, 9, 5_000, 300_000, 1 << 20, *edges)) for _ in range(12)]
    data = encoded((1, chance.choice((1, DATA)), 0, chance.randbytes(size)) for size in sizes)
    reader, simple = fast.FrameReader(FRAME_BYTES_MAX), reference.FrameReader(FRAME_BYTES_MAX)
    at = 0
    while at < len(data):
        piece = data[at : at + chance.choice((1, 10, 1_400, 16_384, 65_536, 262_144, 1 << 20))]
        at += len(piece)
        assert feed(reader, piece) == simple.feed(piece)
    assert reader.pending() == 0


def test_a_large_frame_is_received_in_place_and_the_next_read_is_short() -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX)
    size = 1 << 20
    assert feed(reader, fast.frame_head(size, 5, 3, 1) + b"x" * 90) == []
    assert len(reader.get_buffer(-1)) == size - 90
    assert feed(reader, b"y" * 1000) == []
    assert len(reader.get_buffer(-1)) == size - 1090
    assert feed(reader, b"z" * (size - 1090)) == [
        (5, 3, 1, b"x" * 90 + b"y" * 1000 + b"z" * (size - 1090))
    ]
    assert len(reader.get_buffer(-1)) == PROBE_BYTES
    assert feed(reader, fast.frame_head(0, 7, 2, 0)) == [(7, 2, 0, b"")]
    assert len(reader.get_buffer(-1)) > LARGE_BYTES


def test_frames_delivered_before_keep_their_bytes_while_the_buffer_is_reused() -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX, SMALL_BUFFER_MIN)
    kept = [feed(reader, encoded([(1, 3, 0, bytes([n]) * 50)]))[0][3] for n in range(50)]
    assert kept == [bytes([n]) * 50 for n in range(50)]


@pytest.mark.parametrize("size", [20, 1000])
def test_the_view_is_dead_once_its_bytes_are_taken(size: int) -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX, SMALL_BUFFER_MIN)
    feed(reader, fast.frame_head(size, 1, 3, 0))
    view = reader.get_buffer(-1)
    window = view.obj
    view[:size] = b"p" * size
    [(_, _, _, payload)] = reader.buffer_updated(size)
    with pytest.raises(ValueError, match="released"):
        view[0]
    with pytest.raises(BufferError, match="no longer valid"):
        memoryview(window)
    assert payload == b"p" * size


def test_an_unfilled_view_is_replaced_by_the_next_one() -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX)
    unused = reader.get_buffer(-1)
    assert feed(reader, encoded([(1, 1, 0, b"once")])) == [(1, 1, 0, b"once")]
    with pytest.raises(ValueError, match="released"):
        unused[0]


def test_a_view_may_outlive_the_reader() -> None:
    for begun in (b"", fast.frame_head(1000, 1, 3, 0)):
        reader = fast.FrameReader(FRAME_BYTES_MAX, SMALL_BUFFER_MIN)
        feed(reader, begun)
        view = reader.get_buffer(-1)
        del reader
        gc.collect()
        view[:] = b"w" * len(view)
        assert bytes(view) == b"w" * len(view)


def test_nobody_reaches_a_payload_that_is_not_full() -> None:
    reader = fast.FrameReader(FRAME_BYTES_MAX)
    feed(reader, fast.frame_head(1 << 20, 1, 3, 0) + b"begun")
    reach: list[object] = [reader, reader.get_buffer(-1)]
    for thing in reach:
        reach.extend(
            other for other in gc.get_referents(thing) if not isinstance(other, type | str)
        )
        assert len(reach) < 100
    assert not [thing for thing in reach if isinstance(thing, bytes | fast.WarmBuffer)]


@pytest.mark.parametrize("size", [101, 4 << 20, 2**32 - 1])
def test_a_frame_over_the_limit_is_refused_at_its_head(size: int) -> None:
    reader = fast.FrameReader(100)
    feed(reader, encoded([(1, 3, 0, b"f" * 100)]))
    with pytest.raises(ValueError, match=f"frame of {size} bytes on stream 9, at most 100"):
        feed(reader, fast.frame_head(size, 9, 3, 0))


@pytest.mark.parametrize("kind", [0, 4, 255])
def test_an_unknown_type_is_refused_at_its_head(kind: int) -> None:
    reader = fast.FrameReader(100)
    with pytest.raises(ValueError, match=f"unknown type {kind} on stream 3"):
        feed(reader, fast.frame_head(5, 3, kind, 0))


def test_a_reader_that_refused_a_frame_reads_no_more() -> None:
    reader = fast.FrameReader(100)
    with pytest.raises(ValueError, match="unknown type"):
        feed(reader, fast.frame_head(5, 3, 9, 0))
    with pytest.raises(ValueError, match="close the connection"):
        reader.get_buffer(-1)
    with pytest.raises(ValueError, match="close the connection"):
        reader.buffer_updated(0)


@given(data=st.binary(max_size=120), cut=st.integers(0, 120))
def test_random_bytes_are_refused_exactly_when_the_reference_refuses(data: bytes, cut: int) -> None:
    outcomes: list[list[reference.Frame] | str] = []
    for read in (fast.FrameReader(90, SMALL_BUFFER_MIN), reference.FrameReader(90)):
        try:
            frames = []
            for piece in (data[:cut], data[cut:]):
                if isinstance(read, reference.FrameReader):
                    frames += read.feed(piece)
                else:
                    frames += feed(read, piece)
            outcomes.append(frames)
        except ValueError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_more_bytes_than_offered_are_refused() -> None:
    reader = fast.FrameReader(100, SMALL_BUFFER_MIN)
    with pytest.raises(ValueError, match="0 were offered"):
        reader.buffer_updated(1)
    reader.get_buffer(-1)
    for size in (-1, SMALL_BUFFER_MIN + 1):
        with pytest.raises(ValueError, match="were offered"):
            reader.buffer_updated(size)


def test_senseless_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="small_buffer_bytes is 63, at least 64"):
        fast.FrameReader(100, 63)
    for frame_bytes_max in (-1, 2**31):
        with pytest.raises(ValueError, match="frame_bytes_max"):
            fast.FrameReader(frame_bytes_max)
    with pytest.raises(ValueError, match="not initialised"):
        fast.FrameReader.__new__(fast.FrameReader).get_buffer(-1)


class Collector(asyncio.BufferedProtocol):
    """What a connection of ours does with a reader."""

    def __init__(self) -> None:
        self.reader = fast.FrameReader(FRAME_BYTES_MAX)
        self.payloads: list[bytes] = []
        self.closed = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.reader.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.payloads += [bytes(frame[3]) for frame in self.reader.buffer_updated(nbytes)]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(exc)


async def send_and_collect(data: bytes) -> list[bytes]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    _, collector = await loop.create_connection(Collector, sock=ours)
    await loop.sock_sendall(theirs, data)
    theirs.close()
    assert await collector.closed is None
    return collector.payloads


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_both_event_loops_receive_through_it(run: object) -> None:
    chance = random.Random(12)
    payloads = [chance.randbytes(chance.choice((0, 50, 3000, 400_000))) for _ in range(60)]
    assert callable(run)
    received = run(send_and_collect(encoded((1, 3, 0, payload) for payload in payloads)))
    assert received == payloads
