"""Orders on their way: each leaves once, and what did not arrive is known by the next heartbeat."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.fleet.order_queues import OrderQueues
from pydfsnode.fleet.orders import Delete


def delete(chunk_id: int, node_id: str = "c1") -> Delete:
    return Delete(node_id, chunk_id, 1)


def queues(*chunk_ids: int) -> OrderQueues:
    found = OrderQueues()
    for chunk_id in chunk_ids:
        found.add(delete(chunk_id))
    return found


def test_what_was_taken_is_not_lost() -> None:
    orders = queues(1, 2)
    assert orders.take("c2", 0) == ([], 0)
    assert orders.take("c1", 0) == ([delete(1), delete(2)], 1)
    assert orders.lost("c1", 1) == []
    assert orders.take("c1", 1) == ([], 0)
    orders.add(delete(3))
    assert orders.take("c1", 1) == ([delete(3)], 2)


def test_what_was_not_taken_is_lost_once() -> None:
    orders = queues(1)
    orders.take("c1", 0)
    assert orders.lost("c2", 0) == []
    assert orders.lost("c1", 0) == [delete(1)]
    assert orders.lost("c1", 0) == []


def test_an_old_server_is_believed_to_take_everything() -> None:
    orders = queues(1)
    assert orders.take("c1", None) == ([delete(1)], 1)
    assert orders.lost("c1", None) == []


def test_no_number_means_two_answers() -> None:
    """Of this process, whatever is forgotten meanwhile; of the one before, by what is named."""
    orders = queues(1)
    orders.take("c1", 0)
    orders.clear()
    orders.add(delete(2))
    assert orders.take("c1", 0) == ([delete(2)], 2)
    orders.drop("c1")
    orders.add(delete(3))
    assert orders.take("c1", 0)[1] == 3

    restarted = queues(1)
    assert restarted.take("c1", 3)[1] == 4
    assert restarted.lost("c1", 3) == [delete(1)]


def test_an_answer_has_so_many_orders_at_most() -> None:
    orders = queues(*range(limits.COMMANDS_PER_HEARTBEAT_MAX + 1))
    assert len(orders.take("c1", 0)[0]) == limits.COMMANDS_PER_HEARTBEAT_MAX
    assert orders.lost("c1", 1) == []
    assert orders.take("c1", 1)[0] == [delete(limits.COMMANDS_PER_HEARTBEAT_MAX)]


def test_withdrawn_is_what_nobody_was_sent() -> None:
    orders = queues(1)
    orders.take("c1", 0)
    orders.add(delete(2))
    orders.add(delete(3, "c2"))
    assert orders.withdraw() == [delete(2), delete(3, "c2")]
    assert orders.withdraw() == []
    assert orders.take("c2", 0) == ([], 0)
    assert orders.lost("c1", 0) == [delete(1)], "what was sent is still on its way"


def test_dropped_and_cleared_orders_are_not_lost() -> None:
    for forget in (OrderQueues.clear, lambda found: found.drop("c1")):
        orders = queues(1)
        orders.take("c1", 0)
        orders.add(delete(2))
        forget(orders)
        assert orders.lost("c1", 0) == []
        assert orders.take("c1", 0) == ([], 0)
