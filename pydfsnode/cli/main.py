"""The root command and what its errors become: one sentence and an exit code.

0 done · 1 failed · 2 wrong usage or configuration · 70 internal error · 130 interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from pydfsnode.cli.lazy import Lazy, lazy_group
from pydfsnode.cli.options import client_config_option
from pydfsnode.cli.output import local_error_text, refusal_text
from pydfsnode.errors import ConfigError, InvariantViolation, PydfsError

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERNAL, EXIT_INTERRUPTED = 0, 1, 2, 70, 130
DEBUG_VARIABLE = "PYDFSNODE_DEBUG"

_COMMANDS = {
    "serve": Lazy("serve:command", "Run a node: a master or a chunkserver."),
    "dev": Lazy("dev:group", "A whole cluster on this machine: up, down, status, logs."),
    "fs": Lazy("fs:group", "Files: the verbs of hdfs dfs; trash, quotas, snapshots."),
    "cluster": Lazy("cluster:group", "Look at and operate a cluster."),
    "certs": Lazy("certs:group", "Make the cluster's authority and certificates."),
    "audit": Lazy("audit:group", "Verify and search what was done and refused."),
    "keys": Lazy("keys:group", "The keys that everything on disk is sealed with."),
    "bench": Lazy("bench:group", "Measure a cluster."),
    "completion": Lazy("completion:command", "The Tab key in bash, zsh and fish."),
    "version": Lazy("version:command", "Print the version."),
}


@click.group(
    cls=lazy_group(_COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@client_config_option
def root() -> None:
    """A distributed file system for your own servers.

    Begin with `pydfsnode dev up`: a whole cluster on this machine in a few seconds.
    """


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code and never raises."""
    try:
        result = root.main(list(arguments), prog_name="pydfsnode", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except ConfigError as error:
        return _fail(error.message, EXIT_USAGE)
    except InvariantViolation as error:
        return _fail(refusal_text(error), EXIT_INTERNAL)
    except PydfsError as error:
        return _fail(refusal_text(error), EXIT_FAILED)
    except BrokenPipeError:
        # The reader of our output has what it wanted. Without this the interpreter complains when
        # it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED
    except OSError as error:
        return _fail(local_error_text(error), EXIT_FAILED)
    except Exception as error:  # noqa: BLE001 - the last defence: a sentence
        return _internal(error)
    return result if isinstance(result, int) else EXIT_DONE


def _fail(message: str, code: int) -> int:
    print(f"pydfsnode: {message}", file=sys.stderr)
    return code


def _internal(error: Exception) -> int:
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG_VARIABLE):
        print(text, file=sys.stderr)
        return EXIT_INTERNAL
    import tempfile

    where = f"set {DEBUG_VARIABLE}=1 to see the traceback"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pydfsnode-crash-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        where = f"the traceback is in {file.name}"
    except OSError:
        pass  # a full disk: the sentence below must still appear
    return _fail(
        f"internal error ({type(error).__name__}: {error}); {where}; please report it",
        EXIT_INTERNAL,
    )
