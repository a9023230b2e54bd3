"""The node's log: one JSON object a line, the same first keys in each, never a secret.

`{"at": iso8601, "level", "node", "role", "logger", "event", ...fields}`, and `request_id` and
`trace_id` where the line is written for a request (obs/request_scope.py). structlog is imported by
`configure` (servers call it), so that a client or `--help` never pays for it; before `configure`
only warnings and errors appear, as plain lines on standard error.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from io import FileIO
from pathlib import Path
from typing import Any

from pydfsnode.errors import ConfigError
from pydfsnode.obs.request_scope import current

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
HEAD = ("at", "level", "node", "role", "logger", "event")
SECRET_FIELDS = frozenset(
    {"key", "kek", "dek", "secret", "password", "passphrase", "token", "private_key", "plaintext"}
)
FIELD_CHARACTERS_MAX = 8192
"""A longer string value is cut: a peer's message must not fill the disk."""


class Logger:
    """Writes records under one name; cheap when the level is off. Get one with `get_logger`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, event: str, **fields: Any) -> None:
        """Record what only a developer wants."""
        if _sink.level <= 10:
            _sink.emit("debug", self.name, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Record a change of state."""
        if _sink.level <= 20:
            _sink.emit("info", self.name, event, fields)

    @property
    def says_debug(self) -> bool:
        """Whether `debug` records anything: for who would have to gather what to say."""
        return _sink.level <= 10

    def warning(self, event: str, **fields: Any) -> None:
        """Record what the operator should know and the node survives."""
        if _sink.level <= 30:
            _sink.emit("warning", self.name, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Record what failed; `exc_info=True` (or an exception) adds the traceback."""
        if _sink.level <= 40:
            _sink.emit("error", self.name, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Record what failed with the traceback of the exception being handled."""
        fields.setdefault("exc_info", True)
        self.error(event, **fields)


_loggers: dict[str, Logger] = {}


def get_logger(name: str) -> Logger:
    """The logger of *name* (a module's dotted name without "pydfsnode."); one object a name."""
    logger = _loggers.get(name)
    if logger is None:
        logger = _loggers.setdefault(name, Logger(name))
    return logger


def configure(level: str, node_id: str, role: str, path: Path | None = None) -> None:
    """Send records of *level* and above to *path* (appended) or, when None, to standard error.

    Warnings of other libraries (asyncio, aiohttp) that use the standard `logging` go the same way.
    May be called again; the last call counts.

    Raises:
        ConfigError: an unknown level, or *path* cannot be opened for appending.
    """
    global _sink
    if level not in LEVELS:
        raise ConfigError(f"log level '{level}' is unknown: use one of {', '.join(LEVELS)}")
    output = _Output(_open(path) if path is not None else None)
    previous, _sink = _sink, _JsonSink(LEVELS[level], node_id, role, output)
    previous.close()
    _forward_standard_logging()


def reset() -> None:
    """Return to the state before `configure` (for tests and for the end of a process)."""
    global _sink
    previous, _sink = _sink, _PlainSink()
    previous.close()
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _Forward)]:
        root.removeHandler(handler)


def dropped_records() -> int:
    """Records that could not be written (disk full, closed pipe) since `configure`."""
    return _sink.dropped


def _open(path: Path) -> FileIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileIO(path, "a")
    except OSError as error:
        raise ConfigError(f"{path}: the log cannot be opened: {error.strerror}") from None


class _Output:
    """Writes lines and never raises: a full disk must not turn a log line into a failed request.

    Unbuffered, since a buffer that cannot be written would grow.
    """

    def __init__(self, file: FileIO | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.dropped = 0

    def write(self, text: str) -> None:
        try:
            with self._lock:
                if self._file is None:
                    sys.stderr.write(text)
                    sys.stderr.flush()
                elif self._file.write(line := text.encode("utf-8", "backslashreplace")) < len(line):
                    self.dropped += 1  # the disk became full within the line
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _PlainSink:
    """Before `configure`: a readable line on standard error."""

    level = LEVELS["warning"]

    def __init__(self) -> None:
        self._output = _Output(None)

    @property
    def dropped(self) -> int:
        return self._output.dropped

    def emit(self, level: str, logger: str, event: str, fields: dict[str, Any]) -> None:
        shown = {k: v for k, v in fields.items() if k != "exc_info"}
        rest = "".join(f" {k}={v}" for k, v in _clean(shown).items())
        self._output.write(f"pydfsnode: {level}: {logger}: {event}{rest}\n")

    def close(self) -> None:
        self._output.close()


class _JsonSink(_PlainSink):
    """After `configure`: structlog's processors and JSON lines."""

    def __init__(self, level: int, node_id: str, role: str, output: _Output) -> None:
        import structlog

        self.level = level
        self._output = output
        self._head = {"node": node_id, "role": role}
        self._bound = structlog.wrap_logger(
            # It only calls write and flush.
            structlog.WriteLogger(output),  # type: ignore[arg-type]
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                structlog.processors.format_exc_info,
                self._order,
                structlog.processors.JSONRenderer(default=repr),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=True,
        ).bind()

    def emit(self, level: str, logger: str, event: str, fields: dict[str, Any]) -> None:
        # The fields travel as one value, so that one named "level" or "event" cannot collide.
        scope = current.get()
        if scope is not None:
            fields.setdefault("request_id", scope.request_id)
            fields.setdefault("trace_id", scope.trace.trace_id)
        exc_info = fields.pop("exc_info", None)
        write: Callable[..., Any] = getattr(self._bound, level)
        write(event, logger=logger, fields=fields, exc_info=exc_info)

    def _order(
        self, _logger: Any, _method: str, record: MutableMapping[str, Any]
    ) -> Mapping[str, Any]:
        fields = record.pop("fields")
        record.update(self._head)
        line: dict[str, Any] = {name: record[name] for name in HEAD}
        for name, value in _clean(fields).items():
            line[f"{name}_field" if name in HEAD else name] = value
        if record.get("exception"):
            line["exception"] = record["exception"]
        return line


def _clean(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(k): "(secret)" if str(k).lower() in SECRET_FIELDS else _plain(v)
        for k, v in fields.items()
    }


def _plain(value: Any) -> Any:
    """*value* as JSON can hold it. Bytes become their size: they may be file content or keys."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, Mapping):
        return _clean(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    text = str(value)
    if len(text) > FIELD_CHARACTERS_MAX:
        return f"{text[:FIELD_CHARACTERS_MAX]}... ({len(text)} characters)"
    return text


class _Forward(logging.Handler):
    """Carries warnings of libraries that use the standard `logging` into our log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        fields: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        getattr(get_logger(record.name), level)(record.getMessage(), **fields)


def _forward_standard_logging() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, _Forward) for handler in root.handlers):
        root.addHandler(_Forward(level=logging.WARNING))


_sink: _PlainSink = _PlainSink()
