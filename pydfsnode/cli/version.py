"""`pydfsnode version`."""

from __future__ import annotations

import click

from pydfsnode import __version__
from pydfsnode.cli.options import json_option


@click.command(epilog="Example: pydfsnode version --json")
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        import json
        import platform

        found = {"version": __version__, "python": platform.python_version()}
        click.echo(json.dumps(found))
    else:
        click.echo(f"pydfsnode {__version__}")
