"""Who takes part: voters, learners and, while the members change, the voters of before (Raft §6).

A member's id is its node's name and the incarnation of its data directory: a master that lost its
disk has forgotten its votes, comes back under another id, and cannot vote twice (trap E6).
"""

from __future__ import annotations

import re

import msgspec

from pydfsnode.errors import CorruptionError

_SEPARATOR = "#"
_INCARNATION = re.compile("[0-9a-f]{1,8}")


def member_id(name: str, incarnation: int) -> str:
    """ "m1#5f3a9c01"; the bare name for incarnation 0, of a directory begun before incarnations."""
    return f"{name}{_SEPARATOR}{incarnation:08x}" if incarnation else name


def member_name(member: str) -> str:
    """The node's name in a member id."""
    return member.partition(_SEPARATOR)[0]


def member_incarnation(member: str) -> int:
    """The incarnation in a member id, 0 when there is none: ids come from other masters too."""
    digits = member.partition(_SEPARATOR)[2]
    return int(digits, 16) if _INCARNATION.fullmatch(digits) else 0


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The members from one log entry on. All tuples are sorted; all hold member ids.

    `outgoing` is not empty in a joint configuration: then every decision needs a majority of
    `voters` and a majority of `outgoing`. `addresses`: member id to framed "host:port".
    """

    voters: tuple[str, ...] = ()
    outgoing: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    addresses: dict[str, str] = {}

    @property
    def is_joint(self) -> bool:
        """Whether a change of the voters is under way."""
        return bool(self.outgoing)

    @property
    def members(self) -> tuple[str, ...]:
        """Everybody that the leader replicates to, sorted."""
        return tuple(sorted({*self.voters, *self.outgoing, *self.learners}))

    def is_voter(self, member: str) -> bool:
        """Whether *member* votes, in either half."""
        return member in self.voters or member in self.outgoing

    def encode(self) -> bytes:
        """As the payload of a configuration entry, and in snapshots."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, encoded: bytes) -> Configuration:
        """Undo `encode`; the list of names that older versions wrote is read too.

        Raises:
            CorruptionError: it is neither.
        """
        try:
            decoded = msgspec.msgpack.decode(encoded)
            if all(isinstance(item, str) for item in decoded):
                return cls(voters=tuple(sorted(decoded)))
            return msgspec.convert(decoded, cls)
        except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptionError(f"a configuration of members cannot be read: {error}") from None

    def joint_with(
        self, voters: tuple[str, ...], learners: tuple[str, ...], addresses: dict[str, str]
    ) -> Configuration:
        """The configuration that leads from this one to *voters* and *learners*.

        Joint when the voters differ; else the change of learners needs no joint phase.
        """
        voters, learners = tuple(sorted(voters)), tuple(sorted(learners))
        outgoing = () if voters == self.voters else self.voters
        known = {**self.addresses, **addresses}
        kept = {m: known[m] for m in sorted({*voters, *outgoing, *learners}) if m in known}
        return Configuration(voters, outgoing, learners, kept)

    def final(self) -> Configuration:
        """What a joint configuration ends in."""
        kept = {*self.voters, *self.learners}
        addresses = {m: a for m, a in self.addresses.items() if m in kept}
        return Configuration(self.voters, (), self.learners, addresses)


_encoder = msgspec.msgpack.Encoder()
