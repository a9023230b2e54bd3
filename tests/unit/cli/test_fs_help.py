"""Every verb: its help and example, its `--json`, and that it calls what the client has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

from pydfsnode import errors
from pydfsnode.cli import fs
from pydfsnode.cli.output import refusal_text
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import FakeFiles

SILENT = {
    "cat", "text", "head", "tail", "getmerge", "append", "concat", "touch", "touchz", "test",
    "mkdir", "mv", "rmdir", "chmod", "chown", "chgrp", "setfacl", "setfattr", "quota set",
    "quota clear", "snapshot delete", "snapshot rename",
}  # fmt: skip
"""Verbs that print nothing, or only the content of files."""


def verbs() -> dict[str, click.Command]:
    """Each verb's words to its command, those of nested groups too."""
    context = click.Context(fs.group)
    found: dict[str, click.Command] = {}
    for name in fs.group.list_commands(context):
        command = fs.group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": each for inner, each in command.commands.items()}
        else:
            found[name] = command
    return found


VERBS = verbs()
DOCUMENT = (Path(__file__).parents[3] / "docs" / "fs.md").read_text().splitlines()
EVERYWHERE = {"--json", "--config", "--consistency", "--timeout", "--retries"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(run: Run, verb: str) -> None:
    result = run("fs", *verb.split(), "--help")
    assert result.code == 0
    shown = " ".join(result.out.split())
    example = re.search(rf"Example: .*pydfsnode fs {verb}( |$)", shown)
    assert example is not None
    options = [found for found in VERBS[verb].params if isinstance(found, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_prints_takes_json(verb: str) -> None:
    takes = any("--json" in parameter.opts for parameter in VERBS[verb].params)
    assert takes is (verb not in SILENT)


@pytest.mark.parametrize("verb", VERBS)
def test_the_document_has_every_verb_with_its_flags(verb: str) -> None:
    rows = [line for line in DOCUMENT if re.match(rf"\| .*`{verb}[ `]", line.split(" | ")[0])]
    assert len(rows) == 1, verb
    for option in VERBS[verb].params:
        if isinstance(option, click.Option) and option.opts[0] not in EVERYWHERE:
            assert any(re.search(rf"[` ]{flag}\b", rows[0]) for flag in option.opts), option


def test_the_help_of_fs_names_every_verb(run: Run) -> None:
    shown = run("fs", "--help").out
    for verb in VERBS:
        assert re.search(rf"^  {verb.split()[0]} ", shown, re.MULTILINE), verb
    assert "Exit codes: 0 done, 1" in shown
    assert "Example: pydfsnode fs " in shown


def test_the_help_of_pydfsnode_says_what_fs_is(run: Run) -> None:
    shown = " ".join(run("--help").out.split())
    assert "fs Files: the verbs of hdfs dfs; trash, quotas, snapshots." in shown


def test_the_fake_has_the_clients_methods() -> None:
    for name, method in inspect.getmembers(FakeFiles, inspect.isfunction):
        if name.startswith("_") or name == "tree":
            continue
        real = inspect.signature(getattr(AsyncFileSystem, name)).parameters
        fake = inspect.signature(method).parameters
        assert set(fake) <= set(real), name
        for parameter in fake.values():
            assert parameter.kind == real[parameter.name].kind, f"{name} {parameter.name}"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotFound("'/x' does not exist"),
         "'/x' does not exist: No such file or directory [2001]"),
        (errors.AlreadyExists("'/x' exists"), "'/x' exists: File exists [2002]"),
        (errors.IsADirectory("'/x' is a directory"), "'/x' is a directory [2004]"),
        (errors.AccessDenied("Permission denied: user=ann"),
         "Permission denied: user=ann; its owner or a superuser can allow it "
         "('pydfsnode fs chmod', 'setfacl') [2014]"),
        (errors.QuotaExceeded("The NameSpace quota of '/x' is exceeded"),
         "The NameSpace quota of '/x' is exceeded; delete something there past the trash, or have "
         "an administrator raise it ('pydfsnode fs quota show' and 'set') [2015]"),
    ],
)  # fmt: skip
def test_refusals_are_in_the_words_that_scripts_look_for(
    error: errors.DomainError, text: str
) -> None:
    assert refusal_text(error) == text
