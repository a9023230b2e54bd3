"""The model's orders of operators: who is out of service, safe mode, a balance that runs."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.reference.namespace_model_base import User, refuse_unless
from tests.reference.namespace_model_tree import Trees

STATES = {"in service", "decommissioning", "decommissioned", "maintenance"}
IN_SAFE_MODE = {
    "RenewLease", "SetBalance", "SetDuty", "SetSafeMode",
    "RevokeCertificates", "AddJoinToken", "UseJoinToken", "SetAuthority",
    "AddChunkKey", "DropChunkKeys", "MarkAudit", "ForgetKeys",
}  # fmt: skip


class Order(NamedTuple):
    """Since when and by whom, and what."""

    since_ms: int
    user: str
    what: tuple[object, ...]


class Administration(Trees):
    """Operations 34-36, 44-46, 49. `duties`: by chunkserver, its state and a maintenance's end."""

    def __init__(self, dropped_at_once_max: int) -> None:
        super().__init__(dropped_at_once_max)
        self.duties: dict[str, Order] = {}
        self.safe_mode: Order | None = None
        self.balance: Order | None = None
        self.chunk_keys: dict[int, bytes] = {}
        self.forget_orders = 0
        self.audit_marks: dict[tuple[str, str], tuple[object, ...]] = {}

    @property
    def chunk_key_epoch(self) -> int:
        return max(self.chunk_keys, default=0)

    def add_chunk_key(self, user: User, epoch: int, key: bytes) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(len(key) == 32, "InvalidArgument")
        refuse_unless(0 < epoch <= self.chunk_key_epoch + 1, "InvalidArgument")
        if epoch > self.chunk_key_epoch:
            self.chunk_keys[epoch] = key

    def drop_chunk_keys(self, user: User, below: int) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(0 < below <= self.chunk_key_epoch, "InvalidArgument")
        self.chunk_keys = {e: key for e, key in self.chunk_keys.items() if e >= below}

    def forget_keys(self, user: User, order: int) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(0 < order <= self.forget_orders + 1, "InvalidArgument")
        self.forget_orders = max(self.forget_orders, order)

    def mark_audit(
        self, user: User, node: str, trail: str, record: int, sha256: str, made_ms: int,
        signature: str, chain: str,
    ) -> None:  # fmt: skip
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(0 < len(node) <= 256 and len(chain) <= 16_384, "InvalidArgument")
        for text, shortest, longest in ((trail, 16, 16), (sha256, 64, 64), (signature, 16, 256)):
            is_hex = re.fullmatch("[0-9a-f]*", text) is not None
            refuse_unless(is_hex and shortest <= len(text) <= longest, "InvalidArgument")
        refuse_unless(0 < record < 1 << 63 and 0 <= made_ms < 1 << 63, "InvalidArgument")
        known = self.audit_marks.get((node, trail))
        if known is None or int(str(known[0])) < record:
            self.audit_marks[node, trail] = record, sha256, made_ms, signature, chain

    def set_duty(self, user: User, names: tuple[str, ...], state: str, until_ms: int) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(state in STATES and names, "InvalidArgument")
        refuse_unless(all(0 < len(name) <= 64 for name in names), "InvalidArgument")
        refuse_unless(state != "maintenance" or until_ms > 0, "InvalidArgument")
        for name in names:
            before = self.duties.get(name)
            was = before.what[0] if before else "in service"
            if state == "in service":
                self.duties.pop(name, None)
            elif state == "maintenance":
                self.duties[name] = Order(self.clock, user.name, (state, until_ms))
            elif state == "decommissioning" and was in ("in service", "maintenance"):
                self.duties[name] = Order(self.clock, user.name, (state, 0))
            elif state == "decommissioned" and was == "decommissioning" and before:
                self.duties[name] = before._replace(what=(state, 0))

    def set_safe_mode(self, user: User, on: bool) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        if on != (self.safe_mode is not None):
            self.safe_mode = Order(self.clock, user.name, ()) if on else None

    def set_balance(self, user: User, threshold_ppm: int, bytes_per_s: int) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(0 <= threshold_ppm <= 1_000_000, "InvalidArgument")
        refuse_unless(not threshold_ppm or 0 < bytes_per_s < 1 << 63, "InvalidArgument")
        since_ms = self.balance.since_ms if self.balance else self.clock
        what = threshold_ppm, bytes_per_s
        self.balance = Order(since_ms, user.name, what) if threshold_ppm else None
