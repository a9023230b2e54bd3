"""`pydfsnode certs`: the cluster's certificate authority and its certificates.

Here is what is done with files alone; `certs_cluster` has what is asked of a running cluster.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli import certs_cluster

if TYPE_CHECKING:
    from pydfsnode.security.pki import CertificateDescription, IssuedFiles

_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(name="certs", short_help="Make the cluster's CA, issue and show certificates.")
def group() -> None:
    """Make the cluster's certificate authority (CA), issue and show certificates.

    Nodes, people and programs prove with a certificate who they are; there is no other login.
    """


for _command in (
    certs_cluster.install,
    certs_cluster.status,
    certs_cluster.rotate,
    certs_cluster.revoke,
    certs_cluster.token,
    certs_cluster.renew,
):
    group.add_command(_command)


@group.command("init", epilog="Example: pydfsnode certs init --dir certs")
@click.option("--dir", "directory", type=_DIRECTORY, default=Path("certs"), show_default=True,
              help="Where to make the CA.")  # fmt: skip
@click.option("--cluster-id", help="Name of the cluster, for ever. [default: 16 random hex digits]")
@click.option("--plan", "plan_file", type=_FILE,
              help="TOML file of certificates to issue at once.")  # fmt: skip
@_json_option
def init(directory: Path, cluster_id: str | None, plan_file: Path | None, as_json: bool) -> None:
    """Make a new cluster's CA: a root (ca.crt, ca.key) and an issuing CA (issuing.crt, .key).

    Move ca.key to a safe place off line: it is needed only to make another issuing CA. An existing
    CA is never overwritten.
    """
    from pydfsnode.errors import UsageError
    from pydfsnode.security import pki
    from pydfsnode.security.plan import carry_out, load_plan

    issued: list[IssuedFiles] = []
    if plan_file is None:
        made = pki.init_ca(directory, cluster_id)
    elif cluster_id is not None:
        raise UsageError("--cluster-id and --plan exclude each other: write cluster_id in the plan")
    else:
        made, issued = carry_out(load_plan(plan_file), directory)
    cert, key = directory / pki.CA_CERT, directory / pki.CA_KEY
    if as_json:
        paths = [_paths(files) for files in issued]
        _print({"cluster_id": made, "ca": str(cert), "ca_key": str(key), "issued": paths})
        return
    click.echo(f"cluster id   {made}")
    click.echo(f"CA           {cert}")
    click.echo(f"CA's key     {key}   keep it offline: whoever has it can be anybody")
    click.echo(f"issuing CA   {directory / pki.ISSUING_CERT}")
    for files in issued:
        click.echo(f"issued       {files.cert}")
    if not issued:
        place = f" --dir {directory}" if directory != Path("certs") else ""
        click.echo(f"next         pydfsnode certs issue{place} --role master --name m1 --host HOST")


@group.command("issue", epilog="Example: pydfsnode certs issue --role user --name ann --out ann")
@click.option("--role", required=True, help="master, chunkserver, gateway, user or admin.")
@click.option("--name", required=True, help="Node id or user name.")
@click.option(
    "--host", "hosts", multiple=True, help="DNS name or IP address it listens on; repeat."
)
@click.option("--days", type=int, default=365, show_default=True, help="How long it is valid.")
@click.option("--dir", "directory", type=_DIRECTORY, default=Path("certs"), show_default=True,
              help="Where the CA is.")  # fmt: skip
@click.option("--out", type=_DIRECTORY, help="Where to write. [default: the CA's directory]")
@_json_option
def issue(
    role: str,
    name: str,
    hosts: tuple[str, ...],
    days: int,
    directory: Path,
    out: Path | None,
    as_json: bool,
) -> None:
    """Issue a certificate: NAME.crt, NAME.key and the CA's ca.crt."""
    from pydfsnode.security import pki

    files = pki.issue(directory, out or directory, role, name, hosts, days)
    description = pki.describe(files.cert)
    if as_json:
        _print({**_paths(files), "uri": description.uri, "not_after": description.not_after})
        return
    click.echo(f"identity     {description.uri}")
    click.echo(f"certificate  {files.cert}   until {description.not_after[:10]}")
    click.echo(f"key          {files.key}")
    click.echo(f"CA           {files.ca}")


@group.command("issuer", epilog="Example: pydfsnode certs issuer --dir certs")
@click.option("--dir", "directory", type=_DIRECTORY, default=Path("certs"), show_default=True,
              help="Where ca.crt and ca.key are.")  # fmt: skip
@_json_option
def issuer(directory: Path, as_json: bool) -> None:
    """Make another issuing CA under the same root; 'certs install' then gives it to the masters."""
    from pydfsnode.security import pki

    made = pki.make_issuing_ca(directory)
    if as_json:
        _print({"issuing_ca": str(made), "not_after": pki.describe(made).not_after})
    else:
        click.echo(f"issuing CA   {made}   until {pki.describe(made).not_after[:10]}")


@group.command("show", epilog="Example: pydfsnode certs show *.crt")
@click.argument("paths", type=_FILE, nargs=-1, required=True)
@_json_option
def show(paths: tuple[Path, ...], as_json: bool) -> None:
    """Show what certificates say: one in all detail, several as a table."""
    from pydfsnode.security import pki

    descriptions = [pki.describe(path) for path in paths]
    if len(descriptions) > 1:
        if as_json:
            click.echo(json.dumps([asdict(found) for found in descriptions]))
        else:
            _print_table(descriptions)
        return
    (description,) = descriptions
    if as_json:
        _print(asdict(description))
        return
    for label, value in _rows(description):
        click.echo(f"{label:<12} {value}")


def _rows(certificate: CertificateDescription) -> list[tuple[str, str]]:
    left = certificate.days_left
    until = f"{left} days left" if left >= 0 else "EXPIRED: issue a new one"
    kind = "certificate authority" if certificate.is_ca else "node, user or program"
    return [
        ("identity", certificate.uri or "none: not usable here"),
        ("kind", kind),
        ("hosts", ", ".join(certificate.hosts) or "none"),
        ("valid from", certificate.not_before),
        ("valid until", f"{certificate.not_after}   {until}"),
        ("subject", certificate.subject),
        ("issuer", certificate.issuer),
        ("chain", " < ".join(certificate.chain) or "none"),
        ("serial", certificate.serial),
        ("sha256", certificate.fingerprint_sha256),
    ]


def _print_table(certificates: list[CertificateDescription]) -> None:
    from pydfsnode.cli.output import print_table

    print_table(
        ["WHO", "SERIAL", "HOSTS", "EXPIRES IN", "ISSUER"],
        [
            [
                found.uri or "-",
                found.serial,
                ",".join(found.hosts) or "-",
                certs_cluster.expires_in(found.expires_in_s),
                found.issuer.rpartition("CN=")[2],
            ]
            for found in certificates
        ],
    )


def _paths(files: IssuedFiles) -> dict[str, str]:
    return {"cert": str(files.cert), "key": str(files.key), "ca": str(files.ca)}


def _print(content: dict[str, object]) -> None:
    click.echo(json.dumps(content))
