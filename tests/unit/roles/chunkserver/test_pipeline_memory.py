"""How much of the chunks that are received waits in memory for the disk."""

import pytest

from pydfsnode.roles.chunkserver.pipeline import QUEUE_PACKETS, QUEUED_PACKETS_MAX, queue_packets


@pytest.mark.parametrize("streams", [0, 1, 11, 12, 13, 24, 32, 47, 48, 49, 256])
def test_few_streams_have_deep_queues_and_many_share_what_there_is(streams: int) -> None:
    depth = queue_packets(streams)
    assert 1 <= depth <= QUEUE_PACKETS
    assert depth == 1 or depth * streams <= QUEUED_PACKETS_MAX
    if streams <= QUEUED_PACKETS_MAX // QUEUE_PACKETS:
        assert depth == QUEUE_PACKETS, "who is alone is as fast as before"
