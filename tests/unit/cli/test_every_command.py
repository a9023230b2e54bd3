"""Every command explains itself: what it does, an example that runs, what each option is."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from pydfsnode.cli.main import root


def commands() -> dict[str, click.Command]:
    """Each command's words to it, groups left out."""
    found: dict[str, click.Command] = {}
    pending: list[tuple[str, click.Command]] = [("", root)]
    while pending:
        name, command = pending.pop(0)
        if not isinstance(command, click.Group):
            found[name] = command
            continue
        context = click.Context(command)
        for inner in command.list_commands(context):
            each = command.get_command(context, inner)
            assert each is not None
            pending.append((f"{name} {inner}".strip(), each))
    return found


COMMANDS = commands()


def examples(command: click.Command) -> list[str]:
    """The command lines in what stands behind the options."""
    found: list[str] = []
    for line in (command.epilog or "").splitlines():
        text = re.split(r"Examples?: ", line)[-1].strip()
        if "Example" in (command.epilog or "") and "pydfsnode " in text:
            found.append(re.sub(r"   .*", "", text))  # what stands behind is said about it
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_it_says_what_it_does_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    lines = examples(command)
    assert lines, "no example"
    assert any(f"pydfsnode {name}" in line for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_its_examples_are_accepted(name: str) -> None:
    """As far as flags and the number of arguments go: nothing is done."""
    command = COMMANDS[name]
    for line in examples(command):
        _, found, rest = line.partition(f"pydfsnode {name}")
        if not found:
            continue
        words = shlex.split(re.split(r" [|>&]|\)", rest)[0])
        with command.make_context(name, words, resilient_parsing=False):
            pass
