"""The Namespace service: requests to operations or queries, results to responses."""

from __future__ import annotations

from pydfsnode.client.consistency import LINEARIZABLE, Consistency
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.auditing import Auditing
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.capabilities import Capabilities
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.lease_recovery import LeaseRecovery, no_chunkservers
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.service.attributes import AttributeHandlers
from pydfsnode.roles.master.service.batch import Batching
from pydfsnode.roles.master.service.batch_items import BatchWay
from pydfsnode.roles.master.service.entries import EntryHandlers
from pydfsnode.roles.master.service.locating import Locating
from pydfsnode.roles.master.service.queries import QueryHandlers
from pydfsnode.roles.master.service.quick import Quick
from pydfsnode.roles.master.service.trees import TreeHandlers
from pydfsnode.roles.master.service.writing import FileDefaults, WritingHandlers
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.turns import Turns

SERVICE = "/pydfs.v1.Namespace/"


class NamespaceService:
    """Puts the handlers together; each is of a few lines.

    What they share is in `Consensus`, `Admission`, `Reading`, `Allocation` and `Fleet`.

    Args of the constructor:
        defaults: of files whose creators do not say.
        callers: who the peers are to the namespace; None: nobody is in a group.
        consistency: of reads that do not say.
        recovery: of files whose writers are gone; None: no chunkserver can be asked for them.
        auditing: records what comes in batches; who wraps the handlers records the rest.
    """

    def __init__(
        self,
        consensus: Consensus,
        allocation: Allocation,
        fleet: Fleet,
        defaults: FileDefaults,
        *,
        callers: Callers | None = None,
        consistency: Consistency = LINEARIZABLE,
        recovery: LeaseRecovery | None = None,
        auditing: Auditing | None = None,
    ) -> None:
        callers = callers or Callers()
        admission = Admission(consensus, callers)
        self._turns = Turns()
        capabilities = Capabilities(consensus.namespace, consensus.wall_ms)
        locating = Locating(consensus, fleet, capabilities)
        entries = EntryHandlers(admission)
        recovery = recovery or LeaseRecovery(consensus, fleet.listen_of, no_chunkservers)
        writing = WritingHandlers(
            admission, consensus, allocation, locating.addresses, defaults, recovery, capabilities
        )
        queries = QueryHandlers(consensus, callers, locating, consistency, self._turns)
        attributes, trees = AttributeHandlers(admission), TreeHandlers(admission)
        self._parts = (entries, writing, attributes, trees, locating, queries)
        self._quick = Quick.joined(part.quick() for part in (entries, writing, queries))
        self._way = BatchWay(consensus, callers, self._turns, queries.plain_barrier, auditing)

    def handlers(self) -> Handlers:
        """Path to handler of the whole service."""
        handlers = {
            SERVICE + name: handler
            for part in self._parts
            for name, handler in part.handlers().items()
        }
        batching = Batching(handlers, self._quick, self._way)
        return {**handlers, SERVICE + "Batch": batching.batch}
