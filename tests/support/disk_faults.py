"""Disks of real processes that fail or hang at will, without a privilege: see disk_faults.c."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class FaultyDisk:
    """The directory *below* as a disk of a process that is started with `environment`."""

    def __init__(self, below: Path, work: Path) -> None:
        """*work* is a directory for the library and the switch."""
        self.below = below
        self._library = work / "disk_faults.so"
        self._switch = work / "switch"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([*command, "-o", self._library, SOURCE, "-ldl"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """Of the process."""
        return {
            "LD_PRELOAD": str(self._library),
            "DISK_FAULTS_BELOW": str(self.below),
            "DISK_FAULTS_SWITCH": str(self._switch),
        }

    def fail(self) -> None:
        """From now on every access is answered with EIO."""
        self._switch.with_suffix(".eio").touch()

    def hang(self) -> None:
        """From now on no access comes back."""
        self._switch.with_suffix(".hang").touch()

    def heal(self) -> None:
        """From now on everything works, also what has hung."""
        for suffix in (".eio", ".hang"):
            self._switch.with_suffix(suffix).unlink(missing_ok=True)


def flip_bytes(path: Path, count: int, rng: random.Random, begin: int = 0) -> bool:
    """Change *count* bytes of a file in place, from offset *begin* on.

    False: there is nothing to change; a server that runs may have just begun or removed it.
    """
    try:
        file = path.open("r+b", buffering=0)
    except FileNotFoundError:
        return False
    with file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(count if size else 0):
            position = rng.randrange(min(begin, size - 1), size)
            file.seek(position)
            (byte,) = file.read(1)
            file.seek(position)
            file.write(bytes([byte ^ rng.randint(1, 255)]))
        return size > 0
