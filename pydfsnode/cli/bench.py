"""`pydfsnode bench`: what the configured cluster does, measured through the real client."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import (
    client_config_option,
    consistency_option,
    given_client_config,
    given_consistency,
    json_option,
)

if TYPE_CHECKING:
    from pydfsnode.client.file_reader import AsyncFileReader
    from pydfsnode.client.file_writer import AsyncFileWriter
    from pydfsnode.client.filesystem import AsyncFileSystem

Figures = dict[str, float]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def parse_size(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    """Bytes of "1048576", "64KiB", "10MB" or "1GiB"; a click callback."""
    match = re.fullmatch(r"(\d+)\s*([KMG]I?)?B?", text.strip().upper())
    if match is None:
        raise click.BadParameter(f"'{text}' is not a size: write 1048576, 64KiB, 10MB or 1GiB")
    return int(match[1]) * _UNITS[match[2] or ""]


@click.group(name="bench", short_help="Measure metadata, bulk and small-file speed.")
def group() -> None:
    """Measure the configured cluster with real operations, in a new directory that is removed."""


@group.command("meta", epilog="Example: pydfsnode bench meta --json")
@click.option("--inflight", type=click.IntRange(1, 1024), default=64, show_default=True,
              help="Operations kept going at once.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(0.1), default=5.0, show_default=True,
              help="Of each of the two main phases.")  # fmt: skip
@consistency_option
@json_option
@client_config_option
def meta(inflight: int, seconds: float, as_json: bool) -> None:
    """Namespace writes and reads a second, many in flight and one at a time."""
    from pydfsnode.cli import bench_meta
    from pydfsnode.client.consistency import Consistency

    consistency = Consistency.of(given_consistency())

    async def measure(fs: AsyncFileSystem, root: str) -> Figures:
        return await bench_meta.measure(
            fs, root, inflight=inflight, seconds=seconds, consistency=consistency
        )

    _report(_measured(measure), as_json)


@group.command("io", epilog="Example: pydfsnode bench io --json")
@click.option("--size", callback=parse_size, default="1GiB", show_default=True, help="Of the file.")
@click.option("--replication", type=click.IntRange(1), default=3, show_default=True,
              help="Replicas of the file.")  # fmt: skip
@click.option("--streams", type=click.IntRange(1, 64), default=3, show_default=True,
              help="Parts of the file read at once for the figure of several.")  # fmt: skip
@click.option("--random-reads", type=click.IntRange(0), default=500, show_default=True,
              help="Reads of 4 KiB, one after the other.")  # fmt: skip
@click.option("--baseline/--no-baseline", default=True, show_default=True,
              help="Measure first what TLS alone reaches here with as many hops.")  # fmt: skip
@click.option("--scratch", type=click.Path(exists=True, file_okay=False), metavar="DIR",
              help="Where the baseline writes: on a disk like those of the chunkservers "
                   "[default: the directory for temporary files].")  # fmt: skip
@json_option
@client_config_option
def io(
    size: int,
    replication: int,
    streams: int,
    random_reads: int,
    baseline: bool,
    scratch: str | None,
    as_json: bool,
) -> None:
    """One large file: MB/s (10^6 bytes) written durably and read back verified.

    The figures named tls_ are of the same bytes in the same run through plain mutual TLS over
    loopback: for the write as many servers in a row as replicas, each with its disk; for reads one
    server and as many as --streams, without a disk; small requests and answers of 4 KiB. The
    percentages say how much of that the cluster reaches when it runs on this machine too.
    """
    from pydfsnode.cli import bench_io

    found: Figures = {}
    if baseline:
        from pydfsnode.cli import bench_tls

        place = Path(scratch or tempfile.gettempdir())
        found = bench_tls.measure(size, replication, streams, random_reads, place)

    async def measure(fs: AsyncFileSystem, root: str) -> Figures:
        path = f"{root}/file"
        pieces = bench_io.Pieces(size)

        @asynccontextmanager
        async def writer() -> AsyncIterator[AsyncFileWriter]:
            async with await fs.open_writer(path, replication=replication) as opened:
                yield opened

        @asynccontextmanager
        async def reader() -> AsyncIterator[AsyncFileReader]:
            async with await fs.open_reader(path) as opened:
                yield opened

        figures = {
            "write_mb_per_s": await bench_io.write(writer, pieces),
            "read_mb_per_s": await bench_io.read(reader, pieces),
            "read_several_mb_per_s": await bench_io.read(reader, pieces, streams),
        }
        load = await bench_io.read_at_random(reader, pieces, random_reads)
        figures["random_read_p50_ms"] = load.quantile_ms(0.50)
        figures["random_read_p99_ms"] = load.quantile_ms(0.99)
        return figures

    found = _measured(measure) | found
    _report({**found, **bench_io.shares(found), "size_bytes": size}, as_json)


@group.command("small", epilog="Example: pydfsnode bench small --json")
@click.option("--files", type=click.IntRange(1), default=1000, show_default=True, help="How many.")
@click.option("--bytes", "file_bytes", callback=parse_size, default="1KiB", show_default=True,
              help="Of each file.")  # fmt: skip
@click.option("--clients", type=click.IntRange(1, 256), default=16, show_default=True,
              help="Clients with their own connections.")  # fmt: skip
@click.option("--inflight", type=click.IntRange(1, 1024), default=8, show_default=True,
              help="Operations of each client at once, as 'fs put' and 'fs get' copy files; "
                   "1: one after the other.")  # fmt: skip
@json_option
@client_config_option
def small(files: int, file_bytes: int, clients: int, inflight: int, as_json: bool) -> None:
    """Small files created and read a second by several clients.

    All clients run in this process and share its CPU. The figures are of all of them together;
    a latency is that of one file, from its request to its answer. With --inflight above 1 a client
    sends what it asks at the same time in one message.
    """
    from pydfsnode.cli import bench_small
    from pydfsnode.client.filesystem import AsyncFileSystem

    config = given_client_config()

    async def measure(fs: AsyncFileSystem, root: str) -> Figures:
        async with AsyncExitStack() as stack:
            others = [
                await stack.enter_async_context(await AsyncFileSystem.connect(config))
                for _ in range(clients - 1)
            ]
            return await bench_small.measure(
                [fs, *others], root, files=files, file_bytes=file_bytes, inflight=inflight
            )

    _report(_measured(measure), as_json)


def _measured(measure: Callable[[AsyncFileSystem, str], Awaitable[Figures]]) -> Figures:
    """Connect, measure below a new directory, and remove it whatever happened."""
    import secrets

    from pydfsnode.client.event_loop import run
    from pydfsnode.client.filesystem import AsyncFileSystem

    config = given_client_config()

    async def main() -> Figures:
        root = f"/.bench-{secrets.token_hex(6)}"
        async with await AsyncFileSystem.connect(config) as fs:
            await fs.makedirs(root, exist_ok=True)
            try:
                return await measure(fs, root)
            finally:
                await fs.rm(root, recursive=True)

    return run(main())


def _report(figures: Figures, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:<28}{value:>14,}")
