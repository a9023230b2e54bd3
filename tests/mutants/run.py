"""Shows that the tests test: plants each bug in a copy of the package and looks who finds it.

    python -m tests.mutants.run [--quick] [--record] [--only WORDS] [--seeds N] [--source DIR]

A bug of the core is looked for by some seeds of the bare-core simulation first, then, like all
others, by the suites of its area, and then by the other seeds. `--quick` begins with whoever found
it last, as `killers.json` says; `--record` writes that. Exits with 1 when a bug survives, with 2
when one does not fit the source any more or the simulation fails without any bug.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant, stale
from tests.mutants.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
KILLERS = Path(__file__).with_name("killers.json")
COPIED = ("pydfsnode", "tests")
PROCESSES = 2
SEEDS_BEFORE_SUITES = 40
SEEDS = 200
SUITE_SECONDS_MAX = 240
MEMORY_BYTES_MAX = 4 << 30
_HANGING = ["-o", "faulthandler_timeout=20", "-o", "faulthandler_exit_on_timeout=true"]
_RECORDING = threading.Lock()

_LOG_TESTS = ("damage", "compaction", "snapshots", "stage_durable", "crashes")  # the quickest first
SUITES = {
    "raft": ["tests/unit/raft"],
    "runtime": ["tests/unit/runtime"],
    "storage": [
        *(f"tests/unit/storage/test_raft_log_{part}.py" for part in _LOG_TESTS),
        "tests/unit/storage/test_raft_log.py",
        "tests/property/test_raft_log_storage.py",
    ],
    "meta": ["tests/unit/meta", "tests/property/test_meta_model.py"],
    "_fast": ["tests/unit/meta/test_sessions.py", "tests/fast"],
}


@dataclass(frozen=True)
class Verdict:
    """`killer` is "seed N" or a test's id, "" when the bug survived."""

    mutant: Mutant
    killer: str
    reason: str
    took_s: float


@contextmanager
def planted(mutant: Mutant | None, source: Path) -> Iterator[Path]:
    """A directory with package and tests as hard links, but for the mutated file."""
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=source.parent) as name:
        target = Path(name)
        for part in COPIED:
            shutil.copytree((source / part).resolve(), target / part, copy_function=_link)
        _link(str(ROOT / "pyproject.toml"), str(target / "pyproject.toml"))
        if mutant is not None:
            path = target / mutant.file
            text = path.read_text().replace(mutant.old, mutant.new)
            path.unlink()
            path.write_text(text)
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                compiled.unlink()
            if path.suffix == ".pyx":
                _compile(path, target)
        yield target


def _compile(path: Path, target: Path) -> None:
    """Build the mutated extension, and none of the others, which are there as they are."""
    for other in {*path.parent.glob("*.pyx"), *path.parent.glob(f"{path.stem}.*.so")} - {path}:
        other.unlink()  # a hard link: the original stays
    _link(str(ROOT / "setup.py"), str(target / "setup.py"))
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=target, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SUITE_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{path.name} does not compile:\n{done.stdout}")


def _link(source: str, target: str) -> str:
    """A hard link, a copy where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _limit_memory() -> None:
    """A bug may take all memory of the machine before anybody finds it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def _child(target: Path, arguments: list[str], seconds_max: float) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(target), "HYPOTHESIS_PROFILE": "default"}
    environment["PYTHONUNBUFFERED"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=target, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds_max, check=False,
            preexec_fn=_limit_memory,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, f"no end within {seconds_max:.0f} s"
    return done.returncode, done.stdout


def simulated(target: Path, first: int, count: int) -> tuple[str, str]:
    """("seed N", its complaint), or empty when all seeds pass."""
    arguments = ["tests.mutants.simulate", str(target / "pydfsnode"), str(first), str(count)]
    code, output = _child(target, arguments, SUITE_SECONDS_MAX)
    if code == -1:
        return f"seed {first}", output
    if code:
        raise RuntimeError(f"the simulation did not run:\n{output}")
    found = json.loads(output.splitlines()[-1])
    return ("", "") if found["seed"] is None else (f"seed {found['seed']}", found["error"])


def tested(target: Path, tests: list[str], but: Sequence[str]) -> tuple[str, str]:
    """(id of the first failing test, its complaint), or empty when all *but* some pass."""
    left_out = [f"--deselect={test}" for test in but]
    arguments = ["pytest", "-x", "-vv", "--no-header", "--tb=line", *_HANGING, *left_out, *tests]
    code, output = _child(target, arguments, SUITE_SECONDS_MAX)
    if code == 0:
        return "", ""
    lines = output.splitlines()
    for line in lines:
        for start in ("FAILED ", "ERROR "):
            if line.startswith(f"{start}tests/"):
                test, _, reason = line.removeprefix(start).partition(" - ")
                return test, reason
    begun = [line for line in lines if line.startswith("tests/") and "::" in line]
    if begun and " PASSED" not in begun[-1]:
        return begun[-1].split(" ")[0], "it does not end"
    raise RuntimeError(f"the tests did not run ({code}):\n{output}")


class Innocence:
    """The package without any bug: who complains about it has found nothing."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._passes: dict[str, bool] = {}
        self._lock = threading.Lock()

    def passes(self, test: str) -> bool:
        """Whether *test* passes without any bug."""
        with self._lock:
            if test not in self._passes:
                try:
                    self._passes[test] = not tested(self._target, [test], [])[0]
                except RuntimeError:
                    self._passes[test] = False
            return self._passes[test]

    def wrong_tests(self) -> list[str]:
        """Those that fail anyway."""
        return [test for test, passes in self._passes.items() if not passes]


def _asked(target: Path, killer: str) -> tuple[str, str]:
    if killer.startswith("seed "):
        return simulated(target, int(killer.removeprefix("seed ")), 1)
    return tested(target, [killer], [])


def _suites(target: Path, mutant: Mutant, innocence: Innocence) -> tuple[str, str]:
    while True:
        wrong = innocence.wrong_tests()
        test, reason = tested(target, SUITES[mutant.area], wrong)
        if not test or innocence.passes(test):
            return test, reason
        if test in wrong:  # it could not be left out
            return "", ""


def judge(mutant: Mutant, source: Path, seeds: int, known: str, innocence: Innocence) -> Verdict:
    """Who finds *mutant*: *known* if given, else simulation, else the suites."""
    began_s = time.monotonic()
    with planted(mutant, source) as target:
        killer = reason = ""
        if known:
            killer, reason = _asked(target, known)
        first = min(seeds, SEEDS_BEFORE_SUITES)
        if not killer and mutant.area == "raft":
            killer, reason = simulated(target, 1, first)
        if not killer:
            killer, reason = _suites(target, mutant, innocence)
        if not killer and mutant.area == "raft" and seeds > first:
            killer, reason = simulated(target, first + 1, seeds - first)
    return Verdict(mutant, killer, reason, time.monotonic() - began_s)


def show(verdict: Verdict) -> None:
    """One row of the table."""
    mutant, killer = verdict.mutant, verdict.killer or "SURVIVED"
    test = killer.rpartition("::")[2]
    print(
        f"{mutant.area:8} {mutant.trap:7} {mutant.name:52} {test[:58]:58} {verdict.took_s:5.1f} s",
        flush=True,
    )


def record(known: dict[str, str], verdict: Verdict) -> None:
    """Note who found it; what is not in the list of bugs any more goes."""
    with _RECORDING:
        known[verdict.mutant.name] = verdict.killer
        current = {m.name: known[m.name] for m in MUTANTS if m.name in known}
        KILLERS.write_text(json.dumps(current, indent=1, ensure_ascii=False) + "\n")


def main(arguments: list[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--source", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if options.only in f"{m.area} {m.name}"]
    complaints = [stale(m, (options.source / m.file).read_text()) for m in chosen]
    if any(complaints):
        print("stale mutant:", *filter(None, complaints), sep="\n  ")
        return 2
    known = json.loads(KILLERS.read_text()) if KILLERS.exists() else {}
    began_s = time.monotonic()
    with planted(None, options.source) as target, ThreadPoolExecutor(PROCESSES) as pool:
        seed, reason = simulated(target, 1, 20 if options.quick else SEEDS_BEFORE_SUITES)
        if seed:
            print(f"the simulation fails without any bug: {seed}: {reason}")
            return 2
        innocence = Innocence(target)

        def one(mutant: Mutant) -> Verdict:
            before = known.get(mutant.name, "") if options.quick else ""
            verdict = judge(mutant, options.source, options.seeds, before, innocence)
            show(verdict)
            if options.record and verdict.killer:
                record(known, verdict)
            return verdict

        verdicts = list(pool.map(one, chosen))
    for test in innocence.wrong_tests():
        print(f"FAILS WITHOUT ANY BUG: {test}")
    survived = [v.mutant.name for v in verdicts if not v.killer]
    by_seed = [int(v.killer[5:]) for v in verdicts if v.killer.startswith("seed ")]
    print(
        f"{len(verdicts)} planted bugs, {len(verdicts) - len(survived)} found in "
        f"{time.monotonic() - began_s:.0f} s: {len(by_seed)} by the simulation (the last by seed "
        f"{max(by_seed, default=0)}), the others by directed tests"
    )
    for name in survived:
        print(f"SURVIVED: {name}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
