"""How long each operation may take, as client.toml says it."""

from __future__ import annotations

from collections.abc import Mapping

from pydfsnode import limits
from pydfsnode.errors import ConfigError
from pydfsnode.rpc.methods import MASTER, METHODS, Shape

_PATHS = {
    "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name).strip("_"): path
    for path, method in METHODS.items()
    if MASTER in method.served_by and method.shape is Shape.UNARY
}
"""The names of the masters' methods as they are written in a file ("set_mode") to their paths."""


def operation_timeouts(given_ms: Mapping[str, int]) -> dict[str, int]:
    """Path to milliseconds of the table `timeouts_ms`, by the names of operations.

    Raises:
        ConfigError: a name that is none, or a time that is none.
    """
    for name, timeout_ms in given_ms.items():
        if name not in _PATHS:
            known = ", ".join(sorted(_PATHS))
            raise ConfigError(f"timeouts_ms.{name}: no such operation; there are {known}")
        if not 1 <= timeout_ms <= limits.DEADLINE_MS_MAX:
            raise ConfigError(
                f"timeouts_ms.{name} = {timeout_ms} is not in 1..{limits.DEADLINE_MS_MAX}"
            )
    return {_PATHS[name]: timeout_ms for name, timeout_ms in given_ms.items()}
