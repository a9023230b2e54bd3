"""`pydfsnode completion`: the Tab key in bash, zsh and fish."""

from __future__ import annotations

import click

PROGRAM, VARIABLE = "pydfsnode", "_PYDFSNODE_COMPLETE"
_BASH_ADDS = "COMPREPLY+=($value)"
_BASH_NO_SPACE = "\n            [[ $value == */ ]] && compopt -o nospace"
"""Behind a directory its entries are typed next."""
_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Example: echo 'eval "$(pydfsnode completion bash)"' >> ~/.bashrc
Example: echo 'eval "$(pydfsnode completion zsh)"' >> ~/.zshrc
Example: pydfsnode completion fish > ~/.config/fish/completions/pydfsnode.fish
"""
)
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print what a shell needs to complete commands, options and paths.

    Paths in the cluster are completed too, from any master that answers within a second.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    # Not kind.source: for bash that runs another bash, to warn of versions before 4.4.
    script = ShellComplete.source(kind(root, {}, PROGRAM, VARIABLE)).strip()
    click.echo(script.replace(_BASH_ADDS, _BASH_ADDS + _BASH_NO_SPACE))
