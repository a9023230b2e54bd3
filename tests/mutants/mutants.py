"""All planted bugs. A bug that cannot be found by any test is no bug: it is not in the list."""

from __future__ import annotations

from tests.mutants.in_driver_and_disk import RUNTIME, SESSIONS, STORAGE
from tests.mutants.in_elections import ELECTIONS, MEMBERSHIP, PROMISES
from tests.mutants.in_replication import READS, REPLICATION
from tests.mutants.mutant import Mutant

MUTANTS: list[Mutant] = [
    *PROMISES, *ELECTIONS, *REPLICATION, *MEMBERSHIP, *READS, *RUNTIME, *STORAGE, *SESSIONS,
]  # fmt: skip
