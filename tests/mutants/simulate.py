"""Runs seeds of the bare-core simulation until one fails; the mutants' runner calls it as a child.

    python -m tests.mutants.simulate PACKAGE_DIRECTORY FIRST COUNT

Prints one line of JSON: {"seed": the first that failed or null, "error": …, "tried": …}.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pydfsnode
from tests.support.raft import swarm

SEED_SECONDS_MAX = 20


def main(directory: str, first: int, count: int) -> dict[str, object]:
    """The first failing seed of *count*, from *first* on."""
    found = Path(pydfsnode.__file__).resolve().parent
    if found != Path(directory).resolve():
        raise SystemExit(f"another package is imported: {found}, not {directory}")
    signal.signal(signal.SIGALRM, _too_long)
    for seed in range(first, first + count):
        signal.alarm(SEED_SECONDS_MAX)
        try:
            swarm.run(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed failed
            kind = type(error).__name__
            text = str(error) if kind == "AssertionError" else f"{kind}: {error}"
            return {"seed": seed, "error": text.split("\n")[0], "tried": seed - first + 1}
        finally:
            signal.alarm(0)
    return {"seed": None, "error": "", "tried": count}


def _too_long(signum: int, frame: object) -> None:
    raise TimeoutError(f"a seed takes more than {SEED_SECONDS_MAX} s")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
