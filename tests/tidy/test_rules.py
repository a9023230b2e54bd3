"""Each rule complains of what it is there to find, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.tidy import rules


def of(rule: Callable[..., Iterator[str]], *arguments: object) -> int:
    return len(list(rule(*arguments)))


def test_lengths_are_measured_at_their_limits() -> None:
    assert of(rules.file_length, "x\n" * 500) == 0
    assert of(rules.file_length, "x\n" * 501) == 1
    assert of(rules.line_length, "x" * 100 + "\n" + "x" * 101) == 1
    body = "    x = 1\n"
    assert of(rules.function_length, "def f():\n" + body * 69) == 0
    assert of(rules.function_length, "def f():\n" + body * 70) == 1
    assert of(rules.function_length, "async def f():\n" + body * 70) == 1


def test_a_long_docstring_does_not_make_a_function_long() -> None:
    docstring = '    """Says.\n' + "    more\n" * 90 + '    """\n'
    assert of(rules.function_length, "def f():\n" + docstring + "    x = 1\n" * 70) == 0
    assert of(rules.function_length, "def f():\n" + docstring + "    x = 1\n" * 71) == 1


def test_a_module_says_what_it_is_for_unless_it_is_empty() -> None:
    assert of(rules.module_docstring, "x = 1\n") == 1
    assert of(rules.module_docstring, '"""Says."""\nx = 1\n') == 0
    assert of(rules.module_docstring, "") == 0


@pytest.mark.parametrize(
    "source",
    [
        "from pydfsnode._fast.crc32c import crc32c",
        "import pydfsnode._fast.frames",
        "x = 1  # TODO later",
        "    raise NotImplementedError",
        "# good enough for now",
        "context.verify_mode = ssl.CERT_NONE",
        "server.add_insecure_port(a)",
        "import pickle",
        "eval(text)",
        "run(c, shell=True)",
        "class ChunkManager:",
        "self.last_applied = 1",
    ],
)
def test_banned_things_are_found(source: str) -> None:
    assert of(rules.banned, f"a = 1\n{source}\n", rules.BANNED) == 1


@pytest.mark.parametrize(
    "source",
    ["from pydfsnode._fast import crc32c", "re.eval(x)", "class Managed:", "self.evaluate(x)"],
)
def test_their_neighbours_are_not(source: str) -> None:
    assert of(rules.banned, source, rules.BANNED) == 0


def test_only_the_command_line_prints_and_waits() -> None:
    for source in ("print(x)", "    time.sleep(1)"):
        assert of(rules.banned, source, rules.BANNED_BELOW_CLI) == 1
    for source in ("print(x, file=sys.stderr)", "console.print(x)", "await asyncio.sleep(1)"):
        assert of(rules.banned, source, rules.BANNED_BELOW_CLI) == 0


def test_tests_do_not_sleep_or_skip() -> None:
    for source in (
        "time.sleep(1)",
        "pytest.skip()",
        "@pytest.mark.xfail",
        "@pytest.mark.skipif(x)",
    ):
        assert of(rules.banned, source, rules.BANNED_IN_TESTS) == 1
    assert of(rules.banned, "await asyncio.sleep(0)", rules.BANNED_IN_TESTS) == 0


def test_a_task_needs_an_owner() -> None:
    assert of(rules.lost_tasks, "asyncio.create_task(f())") == 1
    assert of(rules.lost_tasks, "loop.create_task(f())") == 1
    assert of(rules.lost_tasks, "asyncio.ensure_future(f())") == 1
    assert of(rules.lost_tasks, "task = asyncio.create_task(f())") == 0
    group = "async def f():\n async with asyncio.TaskGroup() as tasks:\n  tasks.create_task(g())\n"
    assert of(rules.lost_tasks, group) == 0
    assert of(rules.lost_tasks, "tasks.add(asyncio.create_task(f()))") == 0


def test_an_assert_may_only_narrow_a_type() -> None:
    assert of(rules.production_asserts, "assert x > 1") == 1
    assert of(rules.production_asserts, "assert x is not None and x > 1") == 1
    assert of(rules.production_asserts, "assert x is not None") == 0
    assert of(rules.production_asserts, "assert isinstance(x, A) and y is None") == 0


def test_an_extension_imports_nothing_above_it() -> None:
    assert of(rules.upward_imports, "from pydfsnode.errors cimport x") == 1
    assert of(rules.upward_imports, "    cimport pydfsnode.raft") == 1
    assert of(rules.upward_imports, "from pydfsnode._fast.crc32c cimport x\nimport os") == 0


def test_private_keys_are_found_by_name_and_by_content() -> None:
    begin = b"-----BEGIN EC PRIVATE" + b" KEY-----"
    body = b"MHcCAQEEIOpyDfSnOdEfAkEkEyFoRtEsTsOnLy0123456789"
    assert of(rules.private_key, "certs/node.key", b"") == 1
    assert of(rules.private_key, "home/id_rsa", b"") == 1
    assert of(rules.private_key, "x.pem", begin + b"\n" + body) == 1
    assert of(rules.private_key, "x.py", begin + b"\\n" + body) == 1
    assert of(rules.private_key, "x.py", b"if b'" + begin + b"' in text:") == 0
    assert of(rules.private_key, "keyring.py", b"") == 0
