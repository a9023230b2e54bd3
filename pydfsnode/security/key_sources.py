"""Where the key-encryption key (KEK) comes from: a file, the environment, or a command.

The command is the hook for any key management service: it is called with `wrap` or `unwrap` as its
last argument, gets bytes on standard input and gives bytes on standard output. It never sees data
keys, only a KEK that is drawn here and kept in `keyring.json` as the command wrapped it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pydfsnode.errors import KeyUnavailable
from pydfsnode.security.files import sync_directory, write_new
from pydfsnode.security.key_file import KEY_BYTES, kek_id_of

COMMAND_TIMEOUT_S = 30.0
OUTPUT_BYTES_MAX = 64 * 1024
ERROR_CHARACTERS_MAX = 300
OLD_SUFFIX = "_OLD"
NEW_SUFFIX = ".new"
WITH_DATA = ", on a disk of the data"


class Kek(NamedTuple):
    """A KEK; `wrapped`: what the command made of it, in hex, "" of other sources."""

    key: bytes
    wrapped: str = ""


class KekSource(Protocol):
    """Each method raises KeyUnavailable, with what to do."""

    @property
    def name(self) -> str:
        """For people: which source it is."""
        ...

    def first(self) -> Kek:
        """For a keyring that is made now."""
        ...

    def load(self, kek_id: str, wrapped: str) -> Kek:
        """The KEK of a keyring that is there."""
        ...

    def newer(self, kek_id: str) -> Kek | None:
        """What the keyring is to be wrapped by from now on, if that is another one by itself."""
        ...

    def draw(self, kek_id: str) -> Kek:
        """Another KEK, stored durably beside the one of *kek_id*, which stays what it is."""
        ...

    def settle(self) -> None:
        """The keyring is durable under the KEK of `draw`: it takes the place of the old one."""
        ...


class KekFile:
    """32 bytes as 64 hex digits, readable by the owner only.

    A new one lies beside it, as `FILE.new`, until the keyring is wrapped by it: at every moment one
    of the two files fits. An operator may put `FILE.new` there: then that one is taken.
    """

    def __init__(self, path: Path, data: Sequence[Path] = ()) -> None:
        """*data*: the directories of what the KEK opens; see `lies_with`."""
        self._path = path
        self._data = data
        self._beside = path.with_name(path.name + NEW_SUFFIX)

    @property
    def name(self) -> str:
        """See `KekSource`."""
        return f"file {self._path}" + (WITH_DATA if lies_with(self._path, self._data) else "")

    def exists(self) -> bool:
        """Whether there is such a file."""
        return self._path.exists() or self._beside.exists()

    def first(self) -> Kek:
        """See `KekSource`: what is in the file; without one it is made."""
        return Kek(_read(self._path) if self._path.exists() else _make(self._path))

    def load(self, kek_id: str, wrapped: str) -> Kek:
        """See `KekSource`; finishes a change that was interrupted."""
        if self._beside.exists() and kek_id_of(kek := _read(self._beside)) == kek_id:
            self.settle()
            return Kek(kek)
        if not self._path.exists():
            raise KeyUnavailable(
                f"{self._path}: the key-encryption key is missing; without it the data of this "
                "node cannot be read: restore the file, or set kek_file to where it is"
            )
        kek = _read(self._path)
        if kek_id_of(kek) != kek_id:
            raise KeyUnavailable(
                f"{self._path} is not the key-encryption key of this node's keyring (key id "
                f"{kek_id_of(kek)}, {kek_id} is needed): set kek_file to the one this node was "
                "started with"
            )
        return Kek(kek)

    def newer(self, kek_id: str) -> Kek | None:
        """See `KekSource`: a file does not change by itself."""
        return None

    def draw(self, kek_id: str) -> Kek:
        """See `KekSource`."""
        if self._beside.exists():  # of an attempt that was interrupted, or an operator's
            kek = _read(self._beside)
            if kek_id_of(kek) != kek_id:
                return Kek(kek)
            self._beside.unlink()
        return Kek(_make(self._beside))

    def settle(self) -> None:
        """See `KekSource`."""
        try:
            os.replace(self._beside, self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            raise KeyUnavailable(
                f"{self._path}: the new key-encryption key stays in {self._beside.name}: "
                f"{error.strerror}; both files are needed until that is put right"
            ) from None


class KekEnvironment:
    """64 hex digits in a variable. While it is changed, the old ones are in `VARIABLE_OLD`."""

    def __init__(self, variable: str, environment: Mapping[str, str] = os.environ) -> None:
        self._variable = variable
        self._environment = environment

    @property
    def name(self) -> str:
        """See `KekSource`."""
        return f"environment ${self._variable}"

    def first(self) -> Kek:
        """See `KekSource`."""
        return Kek(self._read(self._variable))

    def load(self, kek_id: str, wrapped: str) -> Kek:
        """See `KekSource`; one of the two variables fits."""
        old = self._variable + OLD_SUFFIX
        names = [self._variable, *([old] if old in self._environment else [])]
        for name in names:
            if kek_id_of(kek := self._read(name)) == kek_id:
                return Kek(kek)
        raise KeyUnavailable(
            f"${self._variable} is not the key-encryption key of this node's keyring (key id "
            f"{kek_id} is needed): set it to the one this node was started with, or put that into "
            f"${old}"
        )

    def newer(self, kek_id: str) -> Kek | None:
        """See `KekSource`: what is in the variable, when the keyring still has the old one."""
        kek = self._read(self._variable)
        return None if kek_id_of(kek) == kek_id else Kek(kek)

    def draw(self, kek_id: str) -> Kek:
        """See `KekSource`: nobody can change the environment of a process that runs."""
        raise KeyUnavailable(
            f"the key-encryption key is in ${self._variable}, which cannot change while this "
            f"master runs: start it again with the new key there and the old one in "
            f"${self._variable}{OLD_SUFFIX}"
        )

    def settle(self) -> None:
        """See `KekSource`."""

    def _read(self, name: str) -> bytes:
        return _decoded(self._environment.get(name, ""), f"${name}")


class KekCommand:
    """See the module."""

    def __init__(
        self,
        command: Sequence[str],
        timeout_s: float = COMMAND_TIMEOUT_S,
        former: KekFile | None = None,
    ) -> None:
        """*former*: where the KEK lay before the command was set; it is not needed afterwards."""
        self._command = list(command)
        self._timeout_s = timeout_s
        self._former = former
        self._moves = False

    @property
    def name(self) -> str:
        """See `KekSource`."""
        return f"command {self._command[0]}"

    def first(self) -> Kek:
        """See `KekSource`."""
        return self.draw("")

    def load(self, kek_id: str, wrapped: str) -> Kek:
        """See `KekSource`."""
        if not wrapped:
            if self._former is None or not self._former.exists():
                raise KeyUnavailable(
                    "kek_command is set, but this node's keyring was not made with a command: put "
                    "the former kek_file or kek_env back; a KEK moves to the command from a file"
                )
            self._moves = True
            return self._former.load(kek_id, wrapped)
        try:
            given = bytes.fromhex(wrapped)
        except ValueError:
            raise KeyUnavailable(
                "the wrapped KEK in keyring.json is damaged: restore that file from a backup"
            ) from None
        kek = self._run("unwrap", given)
        if len(kek) != KEY_BYTES or kek_id_of(kek) != kek_id:
            raise KeyUnavailable(
                f"'{self._command[0]} unwrap' gave another key than it wrapped ({len(kek)} bytes)"
            )
        return Kek(kek, wrapped)

    def newer(self, kek_id: str) -> Kek | None:
        """See `KekSource`: one of the command's own, when the present one is that of a file."""
        return self.draw(kek_id) if self._moves else None

    def draw(self, kek_id: str) -> Kek:
        """See `KekSource`: wrapped by what the service holds to be its newest key."""
        kek = secrets.token_bytes(KEY_BYTES)
        wrapped = self._run("wrap", kek)
        if not wrapped or kek in wrapped:
            raise KeyUnavailable(f"'{self._command[0]} wrap' gave back nothing, or the key itself")
        if self._run("unwrap", wrapped) != kek:  # before anything depends on it
            raise KeyUnavailable(f"'{self._command[0]} unwrap' does not undo its own wrap")
        return Kek(kek, wrapped.hex())

    def settle(self) -> None:
        """See `KekSource`: what was wrapped lies in the keyring."""

    def _run(self, what: str, given: bytes) -> bytes:
        called = f"'{self._command[0]} {what}'"
        try:
            done = subprocess.run(
                [*self._command, what], input=given, capture_output=True, check=False,
                timeout=self._timeout_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise KeyUnavailable(
                f"{called} (kek_command) did not end within {self._timeout_s:g} s"
            ) from None
        except OSError as error:
            raise KeyUnavailable(
                f"{called} (kek_command) cannot be run: {error.strerror}"
            ) from None
        if done.returncode or len(done.stdout) > OUTPUT_BYTES_MAX:
            said = done.stderr.decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:]
            raise KeyUnavailable(
                f"{called} (kek_command) failed: exit code {done.returncode}, "
                f"{len(done.stdout)} bytes of output: {said or 'it said nothing'}"
            )
        return done.stdout


def kek_source(
    kek_file: Path, kek_env: str | None, kek_command: Sequence[str], data: Sequence[Path] = ()
) -> KekSource:
    """What the configuration names: a command, else a variable, else a file.

    Args:
        data: the directories of what the KEK opens.
    """
    if kek_command:
        return KekCommand(kek_command, former=KekFile(kek_file))
    return KekEnvironment(kek_env) if kek_env else KekFile(kek_file, data)


def lies_with(kek_file: Path, data: Sequence[Path]) -> bool:
    """Whether who gets a disk of *data* gets the KEK with it: both are in one file system."""
    try:
        device = kek_file.stat().st_dev
        return any(directory.stat().st_dev == device for directory in data)
    except OSError:  # the file cannot be looked at: what opens it says why
        return False


def _make(path: Path) -> bytes:
    kek = secrets.token_bytes(KEY_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, kek.hex().encode() + b"\n", mode=0o600)
    except OSError as error:
        raise KeyUnavailable(
            f"{path}: the key-encryption key cannot be made: {error.strerror}"
        ) from None
    return kek


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise KeyUnavailable(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if mode & 0o077:
        raise KeyUnavailable(
            f"{path}: mode {mode:04o} lets others read the key: run 'chmod 600 {path}'"
        )
    return _decoded(text, str(path))


def _decoded(text: str, where: str) -> bytes:
    try:
        kek = bytes.fromhex(text.strip())
    except ValueError:
        kek = b""
    if len(kek) != KEY_BYTES:
        raise KeyUnavailable(f"{where}: must hold {KEY_BYTES} bytes as {KEY_BYTES * 2} hex digits")
    return kek
