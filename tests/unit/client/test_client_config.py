"""What client.toml says of new files: the umask, and which are small."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.config import ClientConfig, load_client_config
from pydfsnode.errors import ConfigError

BASE = 'masters = ["m1=h:1"]\ntls = {ca = "a", cert = "b", key = "c"}\n'


def load(tmp_path: Path, more: str = "") -> ClientConfig:
    # Top-level keys stand before the table.
    (tmp_path / "client.toml").write_text(more + "\n" + BASE)
    return load_client_config(tmp_path / "client.toml")


def test_what_is_left_out_is_as_people_expect(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.umask_bits() == 0o022
    assert config.inline_bytes_max == limits.INLINE_BYTES_MAX


def test_reads_are_hedged_and_ahead_unless_told_otherwise(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.rack, config.hedged_reads) == ("", True)
    assert config.read_ahead_bytes == limits.READ_AHEAD_BYTES_DEFAULT
    config = load(tmp_path, 'rack = "/dc1/r7"\nhedged_reads = false\nread_ahead_bytes = 1048576')
    assert (config.rack, config.hedged_reads) == ("/dc1/r7", False)
    assert config.read_ahead_bytes == limits.READ_AHEAD_BYTES_MIN


@pytest.mark.parametrize(
    "line",
    [
        'rack = "/a//b"',
        f"read_ahead_bytes = {limits.READ_AHEAD_BYTES_MIN - 1}",
        f"read_ahead_bytes = {limits.READ_AHEAD_BYTES_MAX + 1}",
    ],
)
def test_what_no_reader_can_do_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.partition(" ")[0]):
        load(tmp_path, line)


@pytest.mark.parametrize(("text", "bits"), [("022", 0o022), ("0", 0), ("0077", 0o077)])
def test_a_umask_is_octal(tmp_path: Path, text: str, bits: int) -> None:
    assert load(tmp_path, f'umask = "{text}"').umask_bits() == bits


@pytest.mark.parametrize("text", ["8", "", "0777", "-1", "1022", "0o22", "600"])
def test_a_umask_that_is_none_or_leaves_nothing_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="umask"):
        load(tmp_path, f'umask = "{text}"')


@pytest.mark.parametrize("size", [0, 1, limits.INLINE_BYTES_MAX])
def test_small_files_can_be_smaller_or_none(tmp_path: Path, size: int) -> None:
    assert load(tmp_path, f"inline_bytes_max = {size}").inline_bytes_max == size


@pytest.mark.parametrize("size", [-1, limits.INLINE_BYTES_MAX + 1])
def test_small_files_cannot_be_larger(tmp_path: Path, size: int) -> None:
    with pytest.raises(ConfigError, match="inline_bytes_max"):
        load(tmp_path, f"inline_bytes_max = {size}")


def test_who_replaces_a_server_that_fails(tmp_path: Path) -> None:
    assert load(tmp_path).replace_on_failure == "default"
    assert load(tmp_path, 'replace_on_failure = "always"').replace_on_failure == "always"
    with pytest.raises(ConfigError, match=r"'sometimes'.*replace_on_failure"):
        load(tmp_path, 'replace_on_failure = "sometimes"')
