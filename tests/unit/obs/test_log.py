"""The log's lines: their keys, what never gets in, where they go."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.errors import ConfigError
from pydfsnode.obs import log


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    log.reset()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_record_begins_with_the_same_six_keys_and_then_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("raft").info("elected", term=7, votes=["m1", "m2"])
    (line,) = lines(path)
    assert list(line) == ["at", "level", "node", "role", "logger", "event", "term", "votes"]
    assert datetime.fromisoformat(line["at"]).utcoffset() is not None
    del line["at"]
    assert line == {
        "level": "info", "node": "m1", "role": "master", "logger": "raft",
        "event": "elected", "term": 7, "votes": ["m1", "m2"],
    }  # fmt: skip


def test_records_below_the_level_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("warning", "m1", "master", path)
    logger = log.get_logger("x")
    logger.debug("d")
    logger.info("i")
    logger.warning("w")
    logger.error("e")
    assert [line["event"] for line in lines(path)] == ["w", "e"]


@pytest.mark.parametrize("name", ["key", "kek", "password", "Token", "private_key", "plaintext"])
def test_a_field_with_a_secrets_name_is_hidden_also_when_nested(tmp_path: Path, name: str) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", **{name: "hunter2", "nested": {"deep": [{name: "hunter2"}]}})
    assert "hunter2" not in path.read_text()


def test_bytes_are_shown_as_their_size_because_they_may_be_content(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", body=b"file content", view=[memoryview(b"file content")])
    (line,) = lines(path)
    assert line["body"] == "(12 bytes)"
    assert line["view"] == ["(12 bytes)"]


def test_a_field_cannot_overwrite_the_head(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", role="user", level="high", at="never", node="evil", event_id=3)
    (line,) = lines(path)
    assert (line["node"], line["role"], line["level"]) == ("m1", "master", "info")
    assert (line["role_field"], line["level_field"], line["at_field"]) == ("user", "high", "never")


def test_a_newline_or_odd_character_in_a_value_stays_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", path="/a\n{}\udc80é\x00")
    (line,) = lines(path)
    assert line["path"] == "/a\n{}\udc80é\x00"


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", message="x" * 1_000_000)
    assert path.stat().st_size < log.FIELD_CHARACTERS_MAX + 500


def test_an_exception_comes_with_its_traceback(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    try:
        raise ValueError("odd")
    except ValueError as error:
        log.get_logger("x").exception("failed", request="r1")
        log.get_logger("x").error("failed", exc_info=error)
    for line in lines(path):
        assert "Traceback" in line["exception"]
        assert "ValueError: odd" in line["exception"]
        assert "exc_info" not in line


def test_objects_are_written_as_their_text(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.get_logger("x").info("e", where=tmp_path, several={1: {tmp_path}})
    (line,) = lines(path)
    assert line["where"] == str(tmp_path)
    assert line["several"] == {"1": [str(tmp_path)]}


def test_without_a_path_records_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "c1", "chunkserver")
    log.get_logger("x").info("started")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "started"
    assert captured.out == ""


def test_before_configure_only_warnings_appear_as_plain_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = log.get_logger("client")
    logger.info("quiet")
    logger.warning("slow", peer="m1", key="hunter2")
    logger.error("lost", exc_info=ValueError("x"))
    assert capsys.readouterr().err.splitlines() == [
        "pydfsnode: warning: client: slow peer=m1 key=(secret)",
        "pydfsnode: error: client: lost",
    ]


def test_a_full_disk_loses_log_lines_but_no_request() -> None:
    log.configure("info", "m1", "master", Path("/dev/full"))
    log.get_logger("x").info("one")
    log.get_logger("x").info("two")
    assert log.dropped_records() == 2


def test_warnings_of_other_libraries_end_in_our_log(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    log.configure("info", "m1", "master", path)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logging.getLogger("aiohttp").info("chatter")
    (line,) = lines(path)
    assert (line["logger"], line["level"]) == ("asyncio", "error")
    assert line["event"] == "Task exception was never retrieved"


def test_an_unknown_level_or_impossible_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'loud' is unknown: use one of debug"):
        log.configure("loud", "m1", "master")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        log.configure("info", "m1", "master", tmp_path / "file" / "node.log")


def test_importing_the_log_does_not_import_structlog() -> None:
    code = "import sys, pydfsnode.obs.log as l; l.get_logger('x').info('e'); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "structlog" not in modules
