"""`pydfsnode completion`: the Tab key in bash, zsh and fish."""

from __future__ import annotations

import click

PROGRAM, VARIABLE = "pydfsnode", "_PYDFSNODE_COMPLETE"
_Change = tuple[str, str]
_BASH_NO_SPACE: _Change = (
    "COMPREPLY+=($value)",
    "COMPREPLY+=($value)\n            [[ $value == */ ]] && compopt -o nospace",
)
"""Behind a directory its entries are typed next: no space there."""
_ZSH_DIRECTORIES: _Change = (
    '                completions_with_descriptions+=("$key":"$descr")\n',
    """\
                if [[ "$key" == */ ]]; then
                    directories+=("$key":"$descr")
                else
                    completions_with_descriptions+=("$key":"$descr")
                fi
""",
)
_ZSH_NO_SPACE: _Change = (
    '    if [ -n "$completions_with_descriptions" ]; then\n',
    """\
    if [ -n "$directories" ]; then
        _describe -V unsorted directories -U -S ''
    fi

    if [ -n "$completions_with_descriptions" ]; then
""",
)
_ZSH_LOCAL: _Change = ("    local -a response\n", "    local -a response directories\n")
_FISH_COMMAS: _Change = ('string split "," ', 'string split --max 1 "," ')
"""Names and descriptions have commas too."""
_CHANGES = {
    "bash": (_BASH_NO_SPACE,),
    "zsh": (_ZSH_LOCAL, _ZSH_DIRECTORIES, _ZSH_NO_SPACE),
    "fish": (_FISH_COMMAS,),
}
"""Of what click's scripts do."""


@click.command(
    epilog="""\b
Example: echo 'eval "$(pydfsnode completion bash)"' >> ~/.bashrc
Example: echo 'eval "$(pydfsnode completion zsh)"' >> ~/.zshrc
Example: pydfsnode completion fish > ~/.config/fish/completions/pydfsnode.fish
"""
)
@click.argument("shell", type=click.Choice(tuple(_CHANGES)))
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
    for old, new in _CHANGES[shell]:
        script = script.replace(old, new)
    click.echo(script)
