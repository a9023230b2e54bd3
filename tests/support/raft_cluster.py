"""The simulated cluster of bare cores, under the name by which tests import it."""

from tests.support.raft.cluster import Cluster, Faults
from tests.support.raft.node import Node

__all__ = ["Cluster", "Faults", "Node"]
