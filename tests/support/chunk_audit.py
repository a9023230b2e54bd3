"""A chunkserver of a test whose callers need capabilities, and the trail of who was let in."""

from __future__ import annotations

from pydfsnode.roles.chunkserver.admission import ChunkAdmission
from pydfsnode.roles.chunkserver.auditing import ChunkAuditing, Chunks
from pydfsnode.roles.chunkserver.sealing import Sealing
from pydfsnode.security.audit.record import FORMATS, Record
from tests.support.chunkservers import Chunkserver
from tests.unit.security.audit_rig import TrailRig


class ChunkTrail:
    """Puts a real admission into the place of `AdmitAll`; `stop` ends the trail."""

    def __init__(self, server: Chunkserver, chunks: Chunks = "none") -> None:
        self.rig = TrailRig(server.directory.with_name(f"{server.node_id}-audit"), server.node_id)
        self.trail = self.rig.open()
        self.auditing = ChunkAuditing(self.trail, chunks, server.clock.monotonic_ms)
        sealing = Sealing(server.keys)
        self.admission = ChunkAdmission(
            server.keys, server.clock, sealing.await_keys, self.auditing
        )
        server.service._admission = self.admission

    def stop(self) -> None:
        """Write everything."""
        self.trail.stop()

    def records(self) -> list[Record]:
        """All but what the trail says of itself."""
        self.stop()
        found = [FORMATS["json"].parse(line.rstrip()) for line in self.rig.lines()]
        return [record for record in found if record.kind != "trail"]
