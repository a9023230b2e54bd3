"""The rules of the code as functions of a source text; each yields its complaints, if any."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100

# What is banned in the package -> what to do instead.
BANNED = {
    r"from pydfsnode\._fast\.\w+ import|import pydfsnode\._fast\.\w+": (
        "from pydfsnode._fast import name (import-linter cannot see the submodule form)"
    ),
    r"\b(TODO|FIXME|XXX|HACK)\b": "the finished thing, or an issue",
    r"\bNotImplementedError\b": "abc.abstractmethod or a Protocol",
    r"\bfor now\b|\bplaceholder\b": "the finished thing, or an issue",
    r"\b(CERT_NONE|_create_unverified_context|insecure_channel|add_insecure_port)\b": (
        "TlsStore; there is no mode without authenticated TLS"
    ),
    r"\bpickle\b|\bmarshal\b|(?<![.\w])(eval|exec)\(": "msgspec or protobuf",
    r"\bshell=True\b": "a list of arguments",
    r"^class \w*(Manager|Helper|Utils?|Handler2)\b": "the field's word for what it is",
    r"\b(last_applied|master_term|rack_id|conf_index)\b": "the glossary: applied_index, epoch, …",
}
BANNED_BELOW_CLI = {
    r"(?<![.\w])print\((?!.*file=sys\.stderr)": "obs.log; stdout belongs to the command line",
    r"\btime\.sleep\(": "an awaited event or the Clock",
}
BANNED_IN_TESTS = {
    r"\btime\.sleep\(": "an event, a condition or virtual time",
    r"\bpytest\.(skip|xfail|importorskip)\(|\bmark\.(skip|skipif|xfail)\b": "a test that runs",
}
BANNED_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}

PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE" + rb" KEY-----(?:\\n|\s)*[A-Za-z0-9+/=]{40}")
KEY_FILE_NAME = re.compile(r"\.(key|p12|pfx|jks)$|(^|/)id_(rsa|ecdsa|ed25519)$")


def file_length(source: str) -> Iterator[str]:
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{lines} lines, at most {FILE_LINES_MAX}: divide it by responsibility"


def line_length(source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield f"line {number}: {len(line)} columns, at most {LINE_COLUMNS_MAX}"


def function_length(source: str) -> Iterator[str]:
    """A function's docstring does not count: contracts may be long."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        start = node.lineno
        if ast.get_docstring(node) and len(node.body) > 1:
            start = node.body[1].lineno
        lines = (node.end_lineno or start) - start + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"line {node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def module_docstring(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    if tree.body and not ast.get_docstring(tree):
        yield "no module docstring: say in one sentence what this module is responsible for"


def banned(source: str, patterns: dict[str, str]) -> Iterator[str]:
    for pattern, instead in patterns.items():
        for match in re.finditer(pattern, source, re.MULTILINE):
            number = source.count("\n", 0, match.start()) + 1
            yield f"line {number}: {match[0]!r}; use {instead}"


def lost_tasks(source: str) -> Iterator[str]:
    """A task that nobody holds may be collected while it runs; nobody sees it fail."""
    tree = ast.parse(source)
    # A TaskGroup holds its tasks and raises what they raise.
    groups = {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars and "TaskGroup(" in ast.unparse(item.context_expr)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        owner, _, name = ast.unparse(node.value.func).rpartition(".")
        if name in ("create_task", "ensure_future") and owner not in groups:
            yield f"line {node.lineno}: {name} without an owner; use Supervisor.spawn or keep it"


def production_asserts(source: str) -> Iterator[str]:
    """`-O` strips asserts; only those that narrow a type for mypy may be lost."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) and not _narrows_a_type(node.test):
            yield f"line {node.lineno}: assert {ast.unparse(node.test)}; use errors.invariant"


def _narrows_a_type(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp):
        return all(_narrows_a_type(value) for value in test.values)
    if isinstance(test, ast.Call):
        return ast.unparse(test.func) == "isinstance"
    return isinstance(test, ast.Compare) and ast.unparse(test).endswith(
        (" is not None", " is None")
    )


def upward_imports(source: str) -> Iterator[str]:
    """Imports of a .pyx or .pxd that leave _fast; import-linter reads only .py."""
    for number, line in enumerate(source.splitlines(), 1):
        match = re.match(r"\s*(?:from|import|cimport)\s+(pydfsnode[\w.]*)", line)
        if match and not match[1].startswith("pydfsnode._fast"):
            yield f"line {number}: {line.strip()}; _fast is a leaf"


def private_key(path: str, content: bytes) -> Iterator[str]:
    if KEY_FILE_NAME.search(path):
        yield "the name of a private key; certs/ is where `make certs` writes them, outside of git"
    if PRIVATE_KEY.search(content):
        yield "holds a private key; make it at run time"
