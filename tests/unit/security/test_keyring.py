"""The keyring: what a node seals it can unseal with the same KEK, and nobody else can."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.errors import KeyUnavailable, SealBroken, StorageError, WrongCluster
from pydfsnode.security.keyring import HEAD_BYTES, KEYRING_FILE, OVERHEAD_BYTES, Keyring


def opened(directory: Path, cluster_id: str = "demo", node_id: str = "m1") -> Keyring:
    return Keyring.open(directory, directory / "kek", cluster_id, node_id)


def test_the_first_start_makes_both_files_for_the_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    assert opened(directory).epoch == 1
    for name in ("kek", KEYRING_FILE):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert len(bytes.fromhex((directory / "kek").read_text())) == 32


def test_a_record_is_unsealed_after_a_restart(tmp_path: Path) -> None:
    sealed = opened(tmp_path).seal(b"place", b"content")
    assert opened(tmp_path).unseal(b"place", sealed) == b"content"


def test_the_layout_is_epoch_nonce_ciphertext_and_tag(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    sealed = keyring.seal(b"place", b"content")
    assert len(sealed) == len(b"content") + OVERHEAD_BYTES
    assert sealed[:4] == (1).to_bytes(4, "little")
    stored = json.loads((tmp_path / KEYRING_FILE).read_text())
    kek = bytes.fromhex((tmp_path / "kek").read_text())
    wrapped = bytes.fromhex(stored["keys"][0]["wrapped"])
    aad = b"pydfsnode keyring 1|demo|m1|1"
    key = AESGCM(kek).decrypt(wrapped[:12], wrapped[12:], aad)
    assert AESGCM(key).decrypt(sealed[4:16], sealed[16:], b"place") == b"content"


def test_no_key_is_readable_in_the_keyring_file(tmp_path: Path) -> None:
    opened(tmp_path)
    kek = (tmp_path / "kek").read_text().strip()
    assert kek not in (tmp_path / KEYRING_FILE).read_text()


def test_nonces_never_repeat_within_or_across_openings(tmp_path: Path) -> None:
    nonces = set()
    for _ in range(5):
        keyring = opened(tmp_path)
        nonces |= {keyring.seal(b"", b"")[4:HEAD_BYTES] for _ in range(100)}
    assert len(nonces) == 500


def test_threads_may_seal_and_unseal_at_once(tmp_path: Path) -> None:
    keyring = opened(tmp_path)

    def work(number: int) -> list[bytes]:
        aad = str(number).encode()
        records = [keyring.seal(aad, bytes([number]) * 300) for _ in range(300)]
        assert all(keyring.unseal(aad, record) == bytes([number]) * 300 for record in records)
        return [record[4:HEAD_BYTES] for record in records]

    with ThreadPoolExecutor(8) as pool:
        nonces = [nonce for made in pool.map(work, range(8)) for nonce in made]
    assert len(set(nonces)) == 2400


@given(st.binary(max_size=200), st.binary(max_size=50), st.data())
def test_any_flipped_bit_breaks_the_seal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, aad: bytes, data: st.DataObject
) -> None:
    keyring = opened(tmp_path_factory.getbasetemp() / "keyring-flips")
    sealed = bytearray(keyring.seal(aad, content))
    assert keyring.unseal(aad, bytes(sealed)) == content
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(SealBroken):
        keyring.unseal(aad, bytes(sealed))


def test_a_record_that_was_moved_or_cut_is_refused(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    sealed = keyring.seal(b"row 1", b"content")
    with pytest.raises(SealBroken, match="changed or moved: restore this node"):
        keyring.unseal(b"row 2", sealed)
    for size in range(len(sealed)):
        with pytest.raises(SealBroken):
            keyring.unseal(b"row 1", sealed[:size])


def test_a_record_of_another_node_is_refused(tmp_path: Path) -> None:
    sealed = opened(tmp_path / "a").seal(b"x", b"content")
    with pytest.raises(SealBroken):
        opened(tmp_path / "b").unseal(b"x", sealed)


def test_rotation_seals_with_a_new_key_and_still_reads_the_old_records(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    old = keyring.seal(b"x", b"old")
    assert keyring.rotate() == keyring.epoch == 2
    new = keyring.seal(b"x", b"new")
    assert new[:4] == (2).to_bytes(4, "little")
    again = opened(tmp_path)
    assert again.epoch == 2
    assert (again.unseal(b"x", old), again.unseal(b"x", new)) == (b"old", b"new")


def test_a_failed_rotation_keeps_the_old_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = opened(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        keyring.rotate()
    monkeypatch.undo()
    assert keyring.epoch == 1
    assert opened(tmp_path).epoch == 1


def test_a_key_epoch_that_is_not_held_is_named(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    sealed = (9).to_bytes(4, "little") + keyring.seal(b"x", b"y")[4:]
    with pytest.raises(SealBroken, match=r"key epoch 9, .*keyring\.json holds \[1\]"):
        keyring.unseal(b"x", sealed)


def test_a_missing_kek_is_never_replaced_when_keys_exist(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "kek").unlink()
    with pytest.raises(KeyUnavailable, match="key-encryption key is missing"):
        opened(tmp_path)
    assert not (tmp_path / "kek").exists()


def test_another_kek_is_recognised_and_not_shown(tmp_path: Path) -> None:
    opened(tmp_path)
    wrong = "ab" * 32
    (tmp_path / "kek").write_text(wrong)
    with pytest.raises(KeyUnavailable, match="is not the key-encryption key of") as caught:
        opened(tmp_path)
    assert wrong not in caught.value.message


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 33, "é"])
def test_a_malformed_kek_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "kek").touch(mode=0o600)
    (tmp_path / "kek").write_text(text)
    with pytest.raises(KeyUnavailable, match="must hold 32 bytes as 64 hex digits"):
        opened(tmp_path)


def test_a_kek_that_others_can_read_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "kek").chmod(0o644)
    with pytest.raises(KeyUnavailable, match=r"mode 0644 .* run 'chmod 600"):
        opened(tmp_path)


def test_a_given_kek_is_used_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "kek").touch(mode=0o600)
    (tmp_path / "kek").write_text("0f" * 32 + "\n")
    opened(tmp_path)
    assert (tmp_path / "kek").read_text() == "0f" * 32 + "\n"
    opened(tmp_path)


def test_the_keyring_of_another_node_or_cluster_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(WrongCluster, match="holds the keys of node 'm1' of cluster 'demo'"):
        opened(tmp_path, node_id="m2")
    with pytest.raises(WrongCluster):
        opened(tmp_path, cluster_id="other")


def change(directory: Path, **fields: object) -> None:
    path = directory / KEYRING_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_relabelling_the_keyring_of_another_node_does_not_help(tmp_path: Path) -> None:
    opened(tmp_path)
    change(tmp_path, node_id="m2")
    with pytest.raises(SealBroken, match="wrapped key of epoch 1 was changed"):
        opened(tmp_path, node_id="m2")


def test_a_damaged_keyring_is_named_with_the_remedy(tmp_path: Path) -> None:
    opened(tmp_path)
    good = (tmp_path / KEYRING_FILE).read_bytes()
    change(tmp_path, keys=[{"epoch": 1, "wrapped": "00" * 60}])
    with pytest.raises(SealBroken, match="wrapped key of epoch 1 was changed: restore"):
        opened(tmp_path)
    change(tmp_path, keys=[])
    with pytest.raises(SealBroken, match="holds no usable key"):
        opened(tmp_path)
    (tmp_path / KEYRING_FILE).write_bytes(good[:-20])
    with pytest.raises(SealBroken, match="is damaged"):
        opened(tmp_path)


def test_a_keyring_of_a_later_format_is_not_guessed_at(tmp_path: Path) -> None:
    opened(tmp_path)
    change(tmp_path, format=2)
    with pytest.raises(StorageError, match="format 2 is not known to this version"):
        opened(tmp_path)


def test_a_kek_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyUnavailable, match="cannot be made"):
        Keyring.open(tmp_path / "data", tmp_path / "file" / "kek", "demo", "m1")


def test_a_destroyed_key_is_in_no_file_and_opens_nothing(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    old = keyring.seal(b"x", b"old")
    keyring.rotate(rotation=7)
    new = keyring.seal(b"x", b"new")
    assert keyring.destroy([1, 2, 3]) == [1]  # the newest stays, whatever is asked
    for each in (keyring, opened(tmp_path)):
        assert (each.epochs, each.rotation) == ([2], 7)
        assert each.unseal(b"x", new) == b"new"
        with pytest.raises(SealBroken, match="key epoch 1"):
            each.unseal(b"x", old)
    assert keyring.rotate() == 3  # no number comes again
    assert keyring.rotation == 7


def test_a_failed_destruction_keeps_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = opened(tmp_path)
    old = keyring.seal(b"x", b"old")
    keyring.rotate()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        keyring.destroy([1])
    monkeypatch.undo()
    assert keyring.unseal(b"x", old) == b"old"
