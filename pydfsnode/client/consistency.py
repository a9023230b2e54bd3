"""How fresh a read of the namespace must be, as people write it; docs/consistency.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from pydfsnode.errors import ConfigError

Mode = Literal["linearizable", "lease", "bounded", "stale", "follower"]

MAX_STALENESS_MS_MAX = 3_600_000
_PLAIN = ("linearizable", "lease", "stale", "follower")
_WAYS = "write linearizable, lease, bounded:MS (as bounded:500), stale or follower"


@dataclass(frozen=True, slots=True)
class Consistency:
    """What a read may miss.

    linearizable: nothing; the leader answers. lease: nothing while clocks drift as little as is
    configured; the leader answers without asking anybody. follower: nothing; any master answers.
    bounded: what happened in the last `max_staleness_ms`; any master. stale: anything; any master.
    """

    mode: Mode
    max_staleness_ms: int = 0

    @classmethod
    def parse(cls, text: str) -> Consistency:
        """The consistency that *text* names: a mode, and for bounded how old, as "bounded:500".

        Raises:
            ConfigError: naming *text* and what to write.
        """
        if text in _PLAIN:
            return cls(cast(Mode, text))
        bounded = re.fullmatch(r"bounded:([0-9]{1,9})", text)
        if bounded is None:
            raise ConfigError(f"'{text}' is no consistency: {_WAYS}")
        max_staleness_ms = int(bounded[1])
        if not 1 <= max_staleness_ms <= MAX_STALENESS_MS_MAX:
            raise ConfigError(
                f"'{text}': {max_staleness_ms} ms is not in 1..{MAX_STALENESS_MS_MAX}; {_WAYS}"
            )
        return cls("bounded", max_staleness_ms)

    @classmethod
    def of(cls, given: Consistency | str | None) -> Consistency | None:
        """*given*, parsed if it is text; None stays None.

        Raises:
            ConfigError: as `parse`.
        """
        return cls.parse(given) if isinstance(given, str) else given

    @property
    def any_master(self) -> bool:
        """Whether not only the leader may answer."""
        return self.mode in ("bounded", "stale", "follower")

    @property
    def may_miss(self) -> bool:
        """Whether an answer may lack what was acknowledged before the read."""
        return self.mode in ("bounded", "stale")

    def __str__(self) -> str:
        return f"bounded:{self.max_staleness_ms}" if self.mode == "bounded" else self.mode


LINEARIZABLE = Consistency("linearizable")
Reads = Consistency | str | None
"""How fresh a read must be: parsed, as text ("bounded:500"), or left to the configuration."""
