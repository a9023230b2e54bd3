"""Where the key-encryption key comes from: file, environment, command; and how it is changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pydfsnode.errors import KeyUnavailable, StorageError
from pydfsnode.security import key_sources, keyring
from pydfsnode.security.key_file import kek_id_of, load_keyring
from pydfsnode.security.key_sources import KekCommand, KekEnvironment, KekFile, KekSource
from pydfsnode.security.keyring import KEYRING_FILE, Keyring

OLD, NEW = "0f" * 32, "1e" * 32
SERVICE = """
import sys
data = sys.stdin.buffer.read()
key = int(open(sys.argv[1]).read())
wrapped = bytes([key]) + bytes(b ^ key for b in data)
opened = bytes(b ^ data[0] for b in data[1:]) if data else b""
sys.stdout.buffer.write(wrapped if sys.argv[2] == "wrap" else opened)
"""
"""A key management service with a key of one byte, which stands in a file."""


def opened(directory: Path, source: KekSource | Path) -> Keyring:
    return Keyring.open(directory, source, "demo", "m1")


def service(directory: Path, script: str = SERVICE) -> KekCommand:
    directory.mkdir(exist_ok=True)
    (directory / "key").write_text("17")
    (directory / "service.py").write_text(script)
    command = [sys.executable, "-S", str(directory / "service.py"), str(directory / "key")]
    return KekCommand(command, timeout_s=20)


def environment(**variables: str) -> KekEnvironment:
    return KekEnvironment("KEK", variables)


def test_a_new_kek_in_the_file_opens_everything_sealed_before(tmp_path: Path) -> None:
    ring = opened(tmp_path, tmp_path / "kek")
    sealed, before = ring.seal(b"x", b"content"), (tmp_path / "kek").read_text()
    kek_id = ring.rotate_kek()
    assert (tmp_path / "kek").read_text() != before
    assert not (tmp_path / "kek.new").exists()
    again = opened(tmp_path, tmp_path / "kek")
    assert again.unseal(b"x", sealed) == b"content"
    assert again.kek == (f"file {tmp_path / 'kek'}", kek_id)
    (tmp_path / "kek").write_text(before)
    with pytest.raises(KeyUnavailable, match="is not the key-encryption key"):
        opened(tmp_path, tmp_path / "kek")


def test_another_kek_can_be_given_beside_the_file(tmp_path: Path) -> None:
    ring = opened(tmp_path, tmp_path / "kek")
    (tmp_path / "kek.new").touch(mode=0o600)
    (tmp_path / "kek.new").write_text(NEW)
    assert ring.rotate_kek() == kek_id_of(bytes.fromhex(NEW))
    assert (tmp_path / "kek").read_text() == NEW


@pytest.mark.parametrize("step", ["draw", "store", "settle"])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_leaves_a_kek_that_opens_the_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    ring = opened(tmp_path, tmp_path / "kek")
    sealed = ring.seal(b"x", b"content")
    before = ring.kek

    class Crash(Exception):
        pass

    owner, name = {
        "draw": (KekFile, "draw"),
        "store": (keyring, "store_keyring"),
        "settle": (KekFile, "settle"),
    }[step]
    inner = getattr(owner, name)

    def crash(*arguments: object) -> object:
        if after:
            inner(*arguments)
        raise Crash

    monkeypatch.setattr(owner, name, crash)
    with pytest.raises(Crash):
        ring.rotate_kek()
    monkeypatch.undo()
    again = opened(tmp_path, tmp_path / "kek")
    assert again.unseal(b"x", sealed) == b"content"
    is_changed = (step, after) in {("store", True), ("settle", False), ("settle", True)}
    assert (again.kek != before) is is_changed
    again.rotate_kek()
    assert opened(tmp_path, tmp_path / "kek").unseal(b"x", sealed) == b"content"


def test_a_keyring_that_cannot_be_written_keeps_the_old_kek(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = opened(tmp_path, tmp_path / "kek")

    def full(*_: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(keyring, "store_keyring", full)
    with pytest.raises(StorageError):
        ring.rotate_kek()
    monkeypatch.undo()
    assert opened(tmp_path, tmp_path / "kek").epoch == 1


def test_the_environment_gives_the_kek_and_a_restart_changes_it(tmp_path: Path) -> None:
    ring = opened(tmp_path, environment(KEK=OLD))
    sealed = ring.seal(b"x", b"content")
    with pytest.raises(KeyUnavailable, match=r"old one in \$KEK_OLD"):
        ring.rotate_kek()
    with pytest.raises(KeyUnavailable, match=r"\$KEK is not the key-encryption key"):
        opened(tmp_path, environment(KEK=NEW))
    opened(tmp_path, environment(KEK=NEW, KEK_OLD=OLD))
    again = opened(tmp_path, environment(KEK=NEW))
    assert again.unseal(b"x", sealed) == b"content"
    assert again.kek == ("environment $KEK", kek_id_of(bytes.fromhex(NEW)))


@pytest.mark.parametrize("text", ["", "zz", "0f" * 31])
def test_a_malformed_variable_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyUnavailable, match=r"\$KEK: must hold 32 bytes") as caught:
        opened(tmp_path, environment(KEK=text))
    assert not text or text not in caught.value.message


def test_a_command_wraps_the_kek_and_wraps_another_one(tmp_path: Path) -> None:
    source = service(tmp_path / "service")
    ring = opened(tmp_path, source)
    sealed = ring.seal(b"x", b"content")
    stored = load_keyring(tmp_path / KEYRING_FILE)
    assert stored.wrapped_kek.startswith("11")
    assert opened(tmp_path, source).unseal(b"x", sealed) == b"content"
    (tmp_path / "service" / "key").write_text("99")  # the service has a newer key now
    ring.rotate_kek()
    again = load_keyring(tmp_path / KEYRING_FILE)
    assert again.wrapped_kek.startswith("63")
    assert again.kek_id != stored.kek_id
    assert opened(tmp_path, source).unseal(b"x", sealed) == b"content"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('no such key')", "exit code 1, 0 bytes of output: no such key"),
        ("", "wrap' gave back nothing"),
        ("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", "or the key itself"),
        ("print('x' * 100)", "does not undo its own wrap"),
        ("print('x' * 100_000)", "100001 bytes of output"),
    ],
)
def test_a_command_that_fails_is_named_with_what_it_said(
    tmp_path: Path, script: str, message: str
) -> None:
    with pytest.raises(KeyUnavailable, match=message):
        opened(tmp_path, service(tmp_path / "service", script))
    assert not (tmp_path / KEYRING_FILE).exists()


def test_a_command_that_hangs_or_is_missing_is_refused(tmp_path: Path) -> None:
    hangs = KekCommand(
        [sys.executable, "-S", "-c", "import select; select.select([], [], [])"], timeout_s=0.5
    )
    with pytest.raises(KeyUnavailable, match=r"did not end within 0\.5 s"):
        opened(tmp_path, hangs)
    with pytest.raises(KeyUnavailable, match="cannot be run: No such file"):
        opened(tmp_path, KekCommand([str(tmp_path / "nothing")]))


def test_a_service_that_lost_the_key_is_told_apart(tmp_path: Path) -> None:
    source = service(tmp_path / "service")
    opened(tmp_path, source)
    (tmp_path / "service" / "service.py").write_text("print('y' * 31)")
    with pytest.raises(KeyUnavailable, match="gave another key than it wrapped"):
        opened(tmp_path, source)


def test_a_keyring_of_a_file_is_not_opened_by_a_command(tmp_path: Path) -> None:
    opened(tmp_path, tmp_path / "kek")
    with pytest.raises(KeyUnavailable, match="put the former kek_file or kek_env back"):
        opened(tmp_path, service(tmp_path / "service"))


def test_a_kek_moves_with_its_file(tmp_path: Path) -> None:
    sealed = opened(tmp_path, tmp_path / "kek").seal(b"x", b"content")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kek").rename(tmp_path / "elsewhere" / "kek")
    with pytest.raises(KeyUnavailable, match="set kek_file to where it is"):
        opened(tmp_path, tmp_path / "kek")
    assert opened(tmp_path, tmp_path / "elsewhere" / "kek").unseal(b"x", sealed) == b"content"


def test_a_kek_moves_from_its_file_to_the_environment(tmp_path: Path) -> None:
    sealed = opened(tmp_path, tmp_path / "kek").seal(b"x", b"content")
    variable = environment(KEK=(tmp_path / "kek").read_text())
    (tmp_path / "kek").unlink()
    assert opened(tmp_path, variable).unseal(b"x", sealed) == b"content"


def test_a_kek_moves_from_its_file_to_a_command_and_the_file_is_worth_nothing(
    tmp_path: Path,
) -> None:
    ring = opened(tmp_path, tmp_path / "kek")
    sealed, kek_id = ring.seal(b"x", b"content"), ring.kek[1]
    command = service(tmp_path / "service")
    command._former = KekFile(tmp_path / "kek")
    moved = opened(tmp_path, command)
    assert moved.unseal(b"x", sealed) == b"content"
    assert moved.kek[1] != kek_id
    with pytest.raises(KeyUnavailable, match="is not the key-encryption key"):
        opened(tmp_path, tmp_path / "kek")
    (tmp_path / "kek").unlink()
    after = opened(tmp_path, service(tmp_path / "service"))
    assert (after.unseal(b"x", sealed), after.kek[1]) == (b"content", moved.kek[1])


def test_a_move_to_a_command_that_fails_leaves_the_file_in_force(tmp_path: Path) -> None:
    opened(tmp_path, tmp_path / "kek")
    command = service(tmp_path / "service", "import sys; sys.exit('no')")
    command._former = KekFile(tmp_path / "kek")
    with pytest.raises(KeyUnavailable, match="exit code 1"):
        opened(tmp_path, command)
    opened(tmp_path, tmp_path / "kek")


def test_the_command_of_the_configuration_knows_the_file_before_it(tmp_path: Path) -> None:
    ring = opened(tmp_path, tmp_path / "kek")
    directory = tmp_path / "service"
    service(directory)
    words = [sys.executable, "-S", str(directory / "service.py"), str(directory / "key")]
    moved = opened(tmp_path, key_sources.kek_source(tmp_path / "kek", None, words))
    assert moved.kek[1] != ring.kek[1]


def test_a_file_on_a_disk_of_the_data_says_so(tmp_path: Path) -> None:
    kek = tmp_path / "kek"
    source = key_sources.kek_source(kek, None, [], [tmp_path / "data", tmp_path])
    (tmp_path / "data").mkdir()
    assert source.name == f"file {kek}"
    opened(tmp_path, source)
    assert source.name == f"file {kek}, on a disk of the data"
    assert KekFile(kek).name == f"file {kek}"
    elsewhere = Path("/proc/self/status")  # another file system, everywhere that this runs
    assert not key_sources.lies_with(elsewhere, [tmp_path])
    assert key_sources.lies_with(elsewhere, [tmp_path, Path("/proc")])
    assert not key_sources.lies_with(kek, [tmp_path / "nothing"])


def test_the_configuration_chooses(tmp_path: Path) -> None:
    made = key_sources.kek_source(tmp_path / "kek", None, [])
    assert made.name == f"file {tmp_path / 'kek'}"
    assert key_sources.kek_source(tmp_path, "KEK", []).name == "environment $KEK"
    assert key_sources.kek_source(tmp_path, "KEK", ["kms", "x"]).name == "command kms"
