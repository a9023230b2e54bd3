"""Builds the Cython modules of pydfsnode/_fast; everything else is in pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

import setuptools
from Cython.Build import cythonize
from setuptools import Extension, setup

if int(setuptools.__version__.split(".")[0]) < 77:
    raise SystemExit(
        f"setuptools {setuptools.__version__} is too old for this pyproject.toml; "
        "run: pip install 'setuptools>=77'"
    )

# build/ holds kept recipes, so what setuptools and Cython write goes one floor down.
OUTPUT = "build/output"
FAST = Path("pydfsnode/_fast")
C_SOURCES = {"crc32c": [str(FAST / "crc32c_kernel.c")]}
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-O1", "-g"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "embedsignature": True,
    "binding": True,
    "auto_pickle": False,
    "autotestdict": False,
}


def extensions() -> list[Extension]:
    """One extension per .pyx; PYDFSNODE_SANITIZE=1 builds them with ASan and UBSan."""
    sanitize = os.environ.get("PYDFSNODE_SANITIZE") == "1"
    return [
        Extension(
            f"pydfsnode._fast.{pyx.stem}",
            [str(pyx), *C_SOURCES.get(pyx.stem, [])],
            include_dirs=[str(FAST)],
            depends=[str(FAST / "crc32c_kernel.h")] if pyx.stem in C_SOURCES else [],
            extra_compile_args=["-std=c11", *(SANITIZE if sanitize else ["-O3", "-g0"])],
            extra_link_args=SANITIZE[:1] if sanitize else [],
        )
        for pyx in sorted(FAST.glob("*.pyx"))
    ]


Path(OUTPUT).mkdir(parents=True, exist_ok=True)
setup(
    ext_modules=cythonize(
        extensions(), build_dir=f"{OUTPUT}/cython", compiler_directives=DIRECTIVES
    ),
    options={
        "build": {"build_base": OUTPUT},
        "egg_info": {"egg_base": OUTPUT},
        "bdist_wheel": {"dist_dir": f"{OUTPUT}/dist"},
        "sdist": {"dist_dir": f"{OUTPUT}/dist"},
    },
)
