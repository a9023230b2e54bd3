"""Say in one sentence what this machine lacks for building pydfsnode, or nothing.

Runs before the virtual environment exists: standard library only, any Python from 3.6.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig

PYTHON_MIN = (3, 11)
PACKAGES = "python3 python3-venv python3-dev gcc libc6-dev binutils make"


def missing() -> list:
    """What is missing, as people name it."""
    found = []
    if sys.version_info < PYTHON_MIN:
        version = sys.version.split()[0]
        found.append(f"Python 3.11 or newer (this is {version}; give another by PYTHON=)")
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        found.append("Python's venv module")
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        found.append("Python's headers (Python.h)")
    for tool in ("gcc", "strip", "make"):
        if shutil.which(tool) is None:
            found.append(tool)
    return found


def main() -> int:
    """Exit 1 with the sentence and the line to run when something is missing."""
    found = missing()
    if not found:
        return 0
    sys.stderr.write(
        f"pydfsnode cannot be built here: missing {', '.join(found)}.\n"
        f"On Debian or Ubuntu run: apt-get install -y {PACKAGES}\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
