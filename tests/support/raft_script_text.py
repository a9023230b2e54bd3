"""What raft cores say and do, as the lines of a transcript."""

from __future__ import annotations

from collections.abc import Iterable

from pydfsnode._fast import entry_kind, entry_payload, scan_entries
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Persist
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    AppendReject,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexAnswer,
    ReadIndexRequest,
    SnapshotHeader,
    TimeoutNow,
    VoteRequest,
)
from pydfsnode.raft.types import KIND_CONFIGURATION, KIND_NOOP

ENTRIES_SHOWN = 6


def configuration_text(configuration: Configuration) -> str:
    """`{1 2 3}`, with `&{...}` the voters of before and with `+4` a learner."""
    text = f"{{{' '.join(configuration.voters)}}}"
    if configuration.outgoing:
        text += f"&{{{' '.join(configuration.outgoing)}}}"
    return text + "".join(f"+{learner}" for learner in configuration.learners)


def payload_text(entry: bytes) -> str:
    """The operation's name, `-` for a no-op, or the configuration."""
    kind, payload = entry_kind(entry), entry_payload(entry)
    if kind == KIND_NOOP:
        return "-"
    if kind == KIND_CONFIGURATION:
        return configuration_text(Configuration.decode(payload))
    return payload[:12].decode().rstrip("_")


def entries_text(entries: Iterable[bytes]) -> str:
    """`[4/2:x 5/2:y]`: index/term:operation; the middle of many is left out."""
    held = [
        f"{index}/{term}:{payload_text(entry)}"
        for index, term, _, entry in scan_entries(b"".join(entries))
    ]
    if len(held) > ENTRIES_SHOWN:
        held[2:-2] = [f"..{len(held) - 4} more.."]
    return f"[{' '.join(held)}]"


def message_text(message: Message, shown: set[str]) -> str:
    """One message; *shown* may hold "streams" and "clocks"."""
    text = f"{message_name(message)} t={message.term}{_body(message)}"
    if isinstance(message, Append | AppendAck | AppendReject | HeartbeatAck):
        if message.read_round:
            text += f" round={message.read_round}"
        if "streams" in shown:
            text += f" s{message.stream}"
        if "clocks" in shown:
            text += f" sent={message.sent_ms}"
    return text


def message_name(message: Message) -> str:
    """The type; an append of nothing is a Heartbeat."""
    if isinstance(message, Append) and not message.count:
        return "Heartbeat"
    return type(message).__name__


def _body(message: Message) -> str:
    match message:
        case VoteRequest():
            ordered = " ordered" if message.transfer else ""
            return f" last={message.last_index}/{message.last_term}{ordered}"
        case PreVoteRequest() | TimeoutNow():
            return f" last={message.last_index}/{message.last_term}"
        case PreVoteResponse():
            return f" asked={message.asked_term} {'granted' if message.granted else 'refused'}"
        case Append():
            entries = f" {entries_text([message.entries])}" if message.count else ""
            at = f" prev={message.prev_index}/{message.prev_term}"
            return f"{at}{entries} commit={message.commit_index}"
        case AppendAck():
            return f" match={message.match_index}"
        case AppendReject():
            return f" prev={message.prev_index} hint={message.hint_index}/{message.hint_term}"
        case ReadIndexAnswer():
            return f" index={message.index}" if message.index >= 0 else " cannot tell"
        case SnapshotHeader():
            members = configuration_text(Configuration.decode(message.configuration))
            return f" at={message.index}/{message.index_term} {members}"
        case HeartbeatAck() | ReadIndexRequest() | _:
            return ""


def persist_text(persist: Persist) -> str:
    """One durable group."""
    parts = [f"persist io={persist.io_id}"]
    if persist.hard_state is not None:
        parts.append(f"t={persist.hard_state.term} vote={persist.hard_state.vote or '-'}")
    if persist.base is not None:
        parts.append(f"first {configuration_text(Configuration.decode(persist.base))}")
    if persist.truncate_from is not None:
        parts.append(f"truncate {persist.truncate_from}..")
    if persist.entries:
        parts.append(entries_text(persist.entries))
    if persist.install is not None:
        install = persist.install
        kept = "keeping the log above" if install.keep_log else "dropping the log"
        parts.append(f"install {install.index}/{install.index_term} {kept}")
    return " ".join(parts)


def state_text(core: RaftCore) -> str:
    """Who a node is and what it holds."""
    runs: list[str] = []
    first = core.first_index
    for index in range(core.first_index, core.last_index + 1):
        if index == core.last_index or core.term_at(index + 1) != core.term_at(index):
            span = f"{first}" if first == index else f"{first}..{index}"
            runs.append(f"{span}/{core.term_at(index)}")
            first = index + 1
    return (
        f"{core.role} t={core.term} vote={core.vote or '-'} leader={core.leader or '-'} "
        f"log=[{' '.join(runs)}] commit={core.commit_index} applied={core.applied_index} "
        f"durable={core.durable_index} {configuration_text(core.configuration)}"
    )
