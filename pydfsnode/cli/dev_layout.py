"""What lies where in a development cluster's directory, and the files that describe its nodes.

DIR/cluster.json            the nodes, their addresses; the one source for everything else
DIR/client.toml             configuration of clients
DIR/certs/                  the CA; a directory of certificates for each node and for the user
DIR/nodes/ID/node.toml      configuration of a node
DIR/nodes/ID/node.pid       its process, while it was started by `dev up`
DIR/nodes/ID/data/          its data
DIR/nodes/ID/log/node.log   its log
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydfsnode.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node of the cluster: name, role and addresses ("host:port")."""

    id: str
    role: str
    listen: str
    grpc_listen: str
    http_listen: str


@dataclass(slots=True)
class ClusterSpec:
    """The cluster's nodes as `cluster.json` holds them."""

    cluster_id: str
    user: str
    nodes: list[NodeSpec] = field(default_factory=list)

    def of_role(self, role: str) -> list[NodeSpec]:
        """The nodes of *role*, in the order they were added."""
        return [node for node in self.nodes if node.role == role]

    def masters(self) -> list[str]:
        """The masters as configurations name them: "m1=127.0.0.1:20001"."""
        return [f"{node.id}={node.listen}" for node in self.of_role("master")]

    def ports(self) -> set[int]:
        """All ports in use by this cluster."""
        addresses = [
            address
            for node in self.nodes
            for address in (node.listen, node.grpc_listen, node.http_listen)
        ]
        return {int(address.rpartition(":")[2]) for address in addresses}


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below the cluster's directory."""

    directory: Path

    @property
    def cluster_file(self) -> Path:
        """Describes the cluster."""
        return self.directory / "cluster.json"

    @property
    def client_config(self) -> Path:
        """For clients."""
        return self.directory / "client.toml"

    @property
    def authority(self) -> Path:
        """The CA's directory."""
        return self.directory / "certs"

    def certificates(self, name: str) -> Path:
        """Where the certificate and key of a node or user are."""
        return self.authority / name

    def node(self, node_id: str) -> Path:
        """Everything of a node."""
        return self.directory / "nodes" / node_id

    def config(self, node_id: str) -> Path:
        """The node's configuration."""
        return self.node(node_id) / "node.toml"

    def pid(self, node_id: str) -> Path:
        """The node's process."""
        return self.node(node_id) / "node.pid"

    def data(self, node_id: str) -> Path:
        """The node's data."""
        return self.node(node_id) / "data"

    def log(self, node_id: str) -> Path:
        """The node's log."""
        return self.node(node_id) / "log" / "node.log"

    def load(self) -> ClusterSpec | None:
        """The cluster that is here; None when there is none yet.

        Raises:
            ConfigError: the file is damaged or of another version.
        """
        try:
            raw = json.loads(self.cluster_file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{self.cluster_file}: cannot be read: {error}") from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ConfigError(
                f"{self.cluster_file}: not of format {FORMAT}: made by another version of "
                "pydfsnode; use another --dir"
            )
        try:
            nodes = [NodeSpec(**node) for node in raw["nodes"]]
            return ClusterSpec(raw["cluster_id"], raw["user"], nodes)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{self.cluster_file}: incomplete: {error}") from None

    def save(self, spec: ClusterSpec) -> None:
        """Write the cluster file, whole or not at all."""
        part = self.cluster_file.with_suffix(".part")
        part.write_text(json.dumps({"format": FORMAT, **asdict(spec)}, indent=2) + "\n")
        part.replace(self.cluster_file)

    def write_configs(self, spec: ClusterSpec) -> None:
        """Write the configuration of each node that has none, and the client's."""
        for node in spec.nodes:
            path = self.config(node.id)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(to_toml(self._node_fields(spec, node)))
        if not self.client_config.exists():
            tls = self._tls(spec.user, self.directory)
            self.client_config.write_text(to_toml({"masters": spec.masters(), "tls": tls}))

    def _node_fields(self, spec: ClusterSpec, node: NodeSpec) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "role": node.role,
            "node_id": node.id,
            "data_dir": "data",
            "listen": node.listen,
            "grpc_listen": node.grpc_listen,
            "http_listen": node.http_listen,
            "masters": spec.masters(),
        }
        if node.role == "master":
            fields["bootstrap"] = True
            fields["replication"] = min(3, max(1, len(spec.of_role("chunkserver"))))
        fields["tls"] = self._tls(node.id, self.node(node.id))
        return fields

    def _tls(self, name: str, base: Path) -> dict[str, str]:
        """Paths relative to *base*, where the configuration is, so that the whole can be moved."""
        up = "../" * len(base.relative_to(self.directory).parts)
        where = f"{up}certs/{name}"
        return {
            "ca": f"{where}/ca.crt",
            "cert": f"{where}/{name}.crt",
            "key": f"{where}/{name}.key",
        }


def to_toml(fields: dict[str, Any]) -> str:
    """*fields* as TOML: strings, integers, booleans, lists of strings; tables one deep, last."""
    lines = [f"{name} = {_toml(value)}" for name, value in fields.items() if not _is_table(value)]
    for name, value in fields.items():
        if _is_table(value):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(item)}" for key, item in value.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _toml(value: str | int | bool | Sequence[str]) -> str:
    # JSON's strings, numbers, booleans and arrays of them are TOML's too.
    return json.dumps(value, ensure_ascii=False)
