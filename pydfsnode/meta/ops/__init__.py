"""Every operation of the namespace: its tag in the log, its type, its rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydfsnode.meta.inodes import ChunkDone
from pydfsnode.meta.ops import (
    abandon,
    add_chunk_key,
    add_join_token,
    allocate_chunk,
    append,
    complete,
    complete_inline,
    concat,
    create,
    create_chunked,
    create_inline,
    create_keyed,
    create_snapshot,
    delete,
    delete_snapshot,
    drop_chunk_keys,
    empty_trash,
    expire_leases,
    finish_recovery,
    forget_keys,
    mark_audit,
    mkdirs,
    move_to_trash,
    reclaim,
    record_chunk,
    recover_lease,
    remove_xattr,
    rename,
    rename_snapshot,
    renew_lease,
    restore_trash,
    resume_chunk,
    revoke_certificates,
    roll_trash,
    set_acl,
    set_authority,
    set_balance,
    set_duty,
    set_mode,
    set_owner,
    set_quota,
    set_replication,
    set_safe_mode,
    set_times,
    set_xattr,
    truncate,
    use_join_token,
)
from pydfsnode.meta.ops.abandon import Abandon
from pydfsnode.meta.ops.add_chunk_key import AddChunkKey
from pydfsnode.meta.ops.add_join_token import AddJoinToken
from pydfsnode.meta.ops.allocate_chunk import AllocateChunk
from pydfsnode.meta.ops.append import Append
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.complete import Complete
from pydfsnode.meta.ops.complete_inline import CompleteInline
from pydfsnode.meta.ops.concat import Concat
from pydfsnode.meta.ops.create import Create
from pydfsnode.meta.ops.create_chunked import CreateChunked
from pydfsnode.meta.ops.create_inline import CreateInline
from pydfsnode.meta.ops.create_keyed import CreateKeyed
from pydfsnode.meta.ops.create_snapshot import CreateSnapshot
from pydfsnode.meta.ops.delete import Delete
from pydfsnode.meta.ops.delete_snapshot import DeleteSnapshot
from pydfsnode.meta.ops.drop_chunk_keys import DropChunkKeys
from pydfsnode.meta.ops.empty_trash import EmptyTrash
from pydfsnode.meta.ops.expire_leases import ExpireLeases
from pydfsnode.meta.ops.finish_recovery import FinishRecovery
from pydfsnode.meta.ops.forget_keys import ForgetKeys
from pydfsnode.meta.ops.mark_audit import MarkAudit
from pydfsnode.meta.ops.mkdirs import Mkdirs
from pydfsnode.meta.ops.move_to_trash import MoveToTrash
from pydfsnode.meta.ops.reclaim import Reclaim
from pydfsnode.meta.ops.record_chunk import RecordChunk
from pydfsnode.meta.ops.recover_lease import RecoverLease
from pydfsnode.meta.ops.remove_xattr import RemoveXattr
from pydfsnode.meta.ops.rename import Rename
from pydfsnode.meta.ops.rename_snapshot import RenameSnapshot
from pydfsnode.meta.ops.renew_lease import RenewLease
from pydfsnode.meta.ops.restore_trash import RestoreTrash
from pydfsnode.meta.ops.resume_chunk import ResumeChunk
from pydfsnode.meta.ops.revoke_certificates import RevokeCertificates
from pydfsnode.meta.ops.roll_trash import RollTrash
from pydfsnode.meta.ops.set_acl import SetAcl
from pydfsnode.meta.ops.set_authority import SetAuthority
from pydfsnode.meta.ops.set_balance import SetBalance
from pydfsnode.meta.ops.set_duty import SetDuty
from pydfsnode.meta.ops.set_mode import SetMode
from pydfsnode.meta.ops.set_owner import SetOwner
from pydfsnode.meta.ops.set_quota import SetQuota
from pydfsnode.meta.ops.set_replication import SetReplication
from pydfsnode.meta.ops.set_safe_mode import SetSafeMode
from pydfsnode.meta.ops.set_times import SetTimes
from pydfsnode.meta.ops.set_xattr import SetXattr
from pydfsnode.meta.ops.truncate import Truncate
from pydfsnode.meta.ops.use_join_token import UseJoinToken
from pydfsnode.meta.results import Result
from pydfsnode.meta.tree import Tree

AnyOp = (
    Mkdirs
    | Create
    | AllocateChunk
    | Complete
    | Abandon
    | Delete
    | Rename
    | CreateInline
    | Append
    | Truncate
    | Concat
    | SetReplication
    | SetOwner
    | SetMode
    | SetTimes
    | SetXattr
    | RemoveXattr
    | SetAcl
    | SetQuota
    | RenewLease
    | RecoverLease
    | ExpireLeases
    | Reclaim
    | MoveToTrash
    | CompleteInline
    | RollTrash
    | EmptyTrash
    | RestoreTrash
    | CreateSnapshot
    | DeleteSnapshot
    | RenameSnapshot
    | SetDuty
    | SetSafeMode
    | SetBalance
    | RecordChunk
    | ResumeChunk
    | FinishRecovery
    | RevokeCertificates
    | AddJoinToken
    | UseJoinToken
    | SetAuthority
    | AddChunkKey
    | MarkAudit
    | DropChunkKeys
    | CreateChunked
    | CreateKeyed
    | ForgetKeys
)

OPS: dict[int, type[Op]] = {
    1: Mkdirs,
    2: Create,
    3: AllocateChunk,
    4: Complete,
    5: Abandon,
    6: Delete,
    7: Rename,
    8: CreateInline,
    9: Append,
    10: Truncate,
    11: Concat,
    12: SetReplication,
    13: SetOwner,
    14: SetMode,
    15: SetTimes,
    16: SetXattr,
    17: RemoveXattr,
    18: SetAcl,
    19: SetQuota,
    20: RenewLease,
    21: RecoverLease,
    22: ExpireLeases,
    23: Reclaim,
    24: MoveToTrash,
    26: CompleteInline,
    28: RollTrash,
    29: EmptyTrash,
    30: RestoreTrash,
    31: CreateSnapshot,
    32: DeleteSnapshot,
    33: RenameSnapshot,
    34: SetDuty,
    35: SetSafeMode,
    36: SetBalance,
    37: RecordChunk,
    38: ResumeChunk,
    39: FinishRecovery,
    40: RevokeCertificates,
    41: AddJoinToken,
    42: UseJoinToken,
    43: SetAuthority,
    44: AddChunkKey,
    45: MarkAudit,
    46: DropChunkKeys,
    47: CreateChunked,
    48: CreateKeyed,
    49: ForgetKeys,
}
"""Tag in the log to type; a tag is never reused."""

RULES: dict[type[Op], Callable[[Tree, Any], Result]] = {
    Mkdirs: mkdirs.apply,
    Create: create.apply,
    AllocateChunk: allocate_chunk.apply,
    Complete: complete.apply,
    Abandon: abandon.apply,
    Delete: delete.apply,
    Rename: rename.apply,
    CreateInline: create_inline.apply,
    Append: append.apply,
    Truncate: truncate.apply,
    Concat: concat.apply,
    SetReplication: set_replication.apply,
    SetOwner: set_owner.apply,
    SetMode: set_mode.apply,
    SetTimes: set_times.apply,
    SetXattr: set_xattr.apply,
    RemoveXattr: remove_xattr.apply,
    SetAcl: set_acl.apply,
    SetQuota: set_quota.apply,
    RenewLease: renew_lease.apply,
    RecoverLease: recover_lease.apply,
    ExpireLeases: expire_leases.apply,
    Reclaim: reclaim.apply,
    MoveToTrash: move_to_trash.apply,
    CompleteInline: complete_inline.apply,
    RollTrash: roll_trash.apply,
    EmptyTrash: empty_trash.apply,
    RestoreTrash: restore_trash.apply,
    CreateSnapshot: create_snapshot.apply,
    DeleteSnapshot: delete_snapshot.apply,
    RenameSnapshot: rename_snapshot.apply,
    SetDuty: set_duty.apply,
    SetSafeMode: set_safe_mode.apply,
    SetBalance: set_balance.apply,
    RecordChunk: record_chunk.apply,
    ResumeChunk: resume_chunk.apply,
    FinishRecovery: finish_recovery.apply,
    RevokeCertificates: revoke_certificates.apply,
    AddJoinToken: add_join_token.apply,
    UseJoinToken: use_join_token.apply,
    SetAuthority: set_authority.apply,
    AddChunkKey: add_chunk_key.apply,
    MarkAudit: mark_audit.apply,
    DropChunkKeys: drop_chunk_keys.apply,
    CreateChunked: create_chunked.apply,
    CreateKeyed: create_keyed.apply,
    ForgetKeys: forget_keys.apply,
}

__all__ = [
    "OPS",
    "RULES",
    "Abandon",
    "AddChunkKey",
    "AddJoinToken",
    "AllocateChunk",
    "AnyOp",
    "Append",
    "ChunkDone",
    "Complete",
    "CompleteInline",
    "Concat",
    "Create",
    "CreateChunked",
    "CreateInline",
    "CreateKeyed",
    "CreateSnapshot",
    "Delete",
    "DeleteSnapshot",
    "DropChunkKeys",
    "EmptyTrash",
    "ExpireLeases",
    "FinishRecovery",
    "ForgetKeys",
    "MarkAudit",
    "Mkdirs",
    "MoveToTrash",
    "Op",
    "Reclaim",
    "RecordChunk",
    "RecoverLease",
    "RemoveXattr",
    "Rename",
    "RenameSnapshot",
    "RenewLease",
    "RestoreTrash",
    "ResumeChunk",
    "RevokeCertificates",
    "RollTrash",
    "SetAcl",
    "SetAuthority",
    "SetBalance",
    "SetDuty",
    "SetMode",
    "SetOwner",
    "SetQuota",
    "SetReplication",
    "SetSafeMode",
    "SetTimes",
    "SetXattr",
    "Truncate",
    "UseJoinToken",
]
