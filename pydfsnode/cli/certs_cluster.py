"""`pydfsnode certs install|status|rotate|revoke|token|renew`: certificates of a running cluster."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.durations import parse_duration, shown_time
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json, print_table
from pydfsnode.cli.session import with_file_system
from pydfsnode.errors import UsageError

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem
    from pydfsnode.client.trust import TrustState

_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
WAIT_S = 120
_POLL_S = 0.5


@click.command(epilog="Example: pydfsnode certs install --dir certs")
@click.option("--dir", "directory", type=_DIRECTORY, default=Path("certs"), show_default=True,
              help="Where the CA is.")  # fmt: skip
@json_option
@client_config_option
def install(directory: Path, as_json: bool) -> None:
    """Give the masters the issuing CA, so that they renew certificates and let nodes join.

    Its key is kept in the replicated, sealed state of the masters. The root's key, ca.key, stays
    where it is: keep it off line.
    """
    ca = _ca_in(directory)
    state = with_file_system(lambda fs: fs.security.set_authority("install", ca))
    _show(state, as_json)


@click.command(epilog="Example: pydfsnode certs status")
@json_option
@client_config_option
def status(as_json: bool) -> None:
    """Show who has which certificate, until when, and what is under way."""
    _show(with_file_system(lambda fs: fs.security.state()), as_json)


@click.command(
    epilog="""\b
Examples: pydfsnode certs rotate chunkserver/c2
          pydfsnode certs rotate --all
          pydfsnode certs rotate --ca trust --dir new-ca"""
)
@click.argument("nodes", nargs=-1, metavar="[ROLE/NAME]...")
@click.option("--all", "everybody", is_flag=True, help="Every node's certificate.")
@click.option("--ca", "phase", type=click.Choice(["trust", "reissue", "drop", "abort"]),
              help="Change the CA, one phase after the other.")  # fmt: skip
@click.option("--dir", "directory", type=_DIRECTORY, help="Where the new CA is, for --ca trust.")
@click.option("--wait/--no-wait", default=True, help="Return when every live node has followed.")
@json_option
@client_config_option
def rotate(
    nodes: tuple[str, ...],
    everybody: bool,
    phase: str | None,
    directory: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Replace certificates of running nodes, without a pause: new keys, new certificates.

    The CA is changed in three phases: `--ca trust --dir NEW` has everybody believe the new CA (made
    with 'certs init --cluster-id' of this cluster) beside the old one; `--ca reissue` has the new
    one sign everybody's certificate; `--ca drop` ends the old one. Each refuses to begin while a
    live node has not followed the one before. People and programs run 'pydfsnode certs renew' after
    the first and the second phase.
    """
    if bool(nodes) + everybody + (phase is not None) != 1:
        raise UsageError("name nodes as ROLE/NAME, or --all, or --ca PHASE: one of the three")
    if (phase == "trust") != (directory is not None):
        raise UsageError("--dir goes with --ca trust: it is where the new CA is")
    ca = _ca_in(directory) if directory is not None else None

    async def work(fs: AsyncFileSystem) -> TrustState:
        named = [_identity(await fs.security.state(), node) for node in nodes]
        state = await fs.security.set_authority(phase or "renew", ca, named)
        return await _followed(fs, state) if wait else state

    _show(with_file_system(work), as_json)


@click.command(epilog="Example: pydfsnode certs revoke 1f2e3d --reason 'laptop lost'")
@click.argument("serials", nargs=-1, required=True, metavar="SERIAL|FILE...")
@click.option("--reason", default="", help="Kept with it.")
@json_option
@client_config_option
def revoke(serials: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Make certificates worth nothing, by their serial numbers or files, within seconds.

    Open connections end too. A certificate of an issuing CA ends all that are under it.
    """
    found = [_serial(text) for text in serials]

    async def work(fs: AsyncFileSystem) -> TrustState:
        await fs.security.revoke(found, reason)
        return await fs.security.state()

    _show(with_file_system(work), as_json)


@click.command(epilog="Example: pydfsnode certs token --role chunkserver --name c4 --host 10.0.0.4")
@click.option(
    "--role",
    required=True,
    type=click.Choice(["master", "chunkserver", "gateway"]),
    help="What the node will be.",
)
@click.option("--name", required=True, help="The new node's name.")
@click.option("--host", "hosts", multiple=True, help="DNS name or IP address it listens on.")
@click.option("--for", "lifetime", default="1h", show_default=True, help="How long it is valid.")
@click.option("--out", type=_FILE, help="Write the token to this file, for its owner only.")
@json_option
@client_config_option
def token(
    role: str, name: str, hosts: tuple[str, ...], lifetime: str, out: Path | None, as_json: bool
) -> None:
    """Make a token with which one new node joins, once; prints how."""
    token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    hashed, for_ms = hashlib.sha256(secret.encode()).hexdigest(), parse_duration(lifetime) * 1000
    made = with_file_system(
        lambda fs: fs.security.add_join_token(token_id, hashed, role, name, hosts, for_ms)
    )
    whole = f"{token_id}.{secret}"
    if out is not None:
        from pydfsnode.security.files import replace_file

        replace_file(out, whole.encode() + b"\n", 0o600)
    if as_json:
        shown = {"token_file": str(out)} if out is not None else {"token": whole}
        print_json({**shown, "ca_hash": made.pin, "join": made.join_address,
                    "expires_ms": made.expires_ms})  # fmt: skip
        return
    where = str(out) if out is not None else "TOKEN-FILE"
    if out is None:
        click.echo(f"token    {whole}")
    click.echo(f"CA       {made.pin}")
    click.echo(f"until    {shown_time(made.expires_ms)}")
    click.echo(
        f"there    pydfsnode serve --role {role} --node-id {name} --config FILE "
        f"--join {made.join_address} --join-token-file {where} --ca-hash {made.pin}"
    )


@click.command(epilog="Example: pydfsnode certs renew")
@json_option
@client_config_option
def renew(as_json: bool) -> None:
    """Renew your own certificate, that of the client's configuration, and fetch the roots.

    Running programs that use these files take the new ones by themselves.
    """
    from pydfsnode.cli.options import given_client_config
    from pydfsnode.config import load_client_config
    from pydfsnode.security import pki, renewal_advice
    from pydfsnode.security.renewing import own_renewal

    renewal_advice.adviser.is_told = True
    files = load_client_config(given_client_config()).tls
    renewal = own_renewal(files)
    chain, roots = with_file_system(
        lambda fs: fs.security.sign(renewal.request, renewal.present_pem)
    )
    renewal.store(chain, roots)
    told = pki.describe(Path(files.cert))
    if as_json:
        print_json({"uri": told.uri, "not_after": told.not_after, "serial": told.serial})
    else:
        click.echo(f"{files.cert}: {told.uri} until {told.not_after[:10]}")


async def _followed(fs: AsyncFileSystem, state: TrustState) -> TrustState:
    """The state when nobody lags. Raises UnsafeChange when it takes too long."""
    import asyncio

    from pydfsnode.errors import UnsafeChange

    try:
        async with asyncio.timeout(WAIT_S):
            while state.lagging:
                await asyncio.sleep(_POLL_S)
                state = await fs.security.state()
    except TimeoutError:
        who = "; ".join(f"{node.identity} {node.behind}" for node in state.lagging)
        raise UnsafeChange(f"not every live node has followed in {WAIT_S} s: {who}") from None
    return state


def _identity(state: TrustState, node: str) -> str:
    """The identity that ends in *node*, ROLE/NAME."""
    found = [known.identity for known in state.nodes if known.identity.endswith(f"/{node}")]
    if len(found) != 1 or "/" not in node:
        names = ", ".join("/".join(known.identity.split("/")[-2:]) for known in state.nodes)
        raise UsageError(f"{node} is no live node: there are {names}")
    return found[0]


def _serial(text: str) -> str:
    if Path(text).exists():
        from pydfsnode.security import pki

        return pki.describe(Path(text)).serial
    return text.lower().replace(":", "").lstrip("0")


def _ca_in(directory: Path) -> tuple[str, str, str]:
    from pydfsnode.security import pki

    return pki.load_issuing_ca(directory).texts()


def _show(state: TrustState, as_json: bool) -> None:
    if as_json:
        print_json(state)
        return
    import time

    now_ms = time.time() * 1000
    if not state.signer_not_after_ms:
        click.echo("The masters have no issuing CA: 'pydfsnode certs install' gives them one.")
    elif state.phase:
        following = {"trust": "reissue", "reissue": "drop"}[state.phase]
        click.echo(f"The CA is being changed: next is 'pydfsnode certs rotate --ca {following}'.")
    for root in state.roots:
        signs = "signs" if root.signs else "is believed"
        click.echo(f"root     {root.pin}  {signs}, until {shown_time(root.not_after_ms)}")
    click.echo()
    print_table(
        ["NODE", "SERIAL", "SIGNED", "EXPIRES IN", "BEHIND"],
        [
            [
                "/".join(node.identity.split("/")[-2:]), node.serial or "-",
                shown_time(node.signed_at_ms) if node.serial else "-",
                expires_in((node.not_after_ms - now_ms) / 1000) if node.serial else "-",
                node.behind or "-",
            ]
            for node in state.nodes
        ],
    )  # fmt: skip
    for row in state.revoked:
        click.echo(f"revoked  {row.serial}  {shown_time(row.since_ms)} by {row.user}  {row.reason}")
    for token_row in state.tokens:
        used = "used" if token_row.used else f"until {shown_time(token_row.expires_ms)}"
        click.echo(f"token    {token_row.token_id}  {token_row.identity}  {used}")


def expires_in(seconds: float) -> str:
    """ "89 d", "5 h", "12 min" or "EXPIRED"."""
    if seconds < 0:
        return "EXPIRED"
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds // 60:.0f} min"
