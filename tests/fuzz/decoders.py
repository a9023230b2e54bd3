"""Every decoder of bytes that a peer, a disk or a person may have spoiled."""

from __future__ import annotations

from tests.fuzz.certificates import CERTIFICATES
from tests.fuzz.connections import CONNECTIONS
from tests.fuzz.files import FILES
from tests.fuzz.network import NETWORK
from tests.fuzz.records import RECORDS
from tests.fuzz.trails import TRAILS

DECODERS = [*NETWORK, *CONNECTIONS, *RECORDS, *CERTIFICATES, *FILES, *TRAILS]
