"""`pydfsnode certs`: what it prints and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pydfsnode.cli.certs import group
from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, ConfigError, PydfsError, UsageError
from pydfsnode.security.tls import TlsStore

REPOSITORY = Path(__file__).parents[3]


def run(*argv: object) -> Result:
    return CliRunner().invoke(group, [str(word) for word in argv])


def output_of(*argv: object) -> str:
    result = run(*argv)
    assert result.exception is None, result.exception
    assert result.exit_code == 0
    return result.output


def json_of(*argv: object) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(output_of(*argv, "--json"))
    return printed


def error_of(*argv: object) -> PydfsError:
    error = run(*argv).exception
    assert isinstance(error, PydfsError), error
    return error


def test_init_issue_show_make_a_usable_identity(tmp_path: Path) -> None:
    made = json_of("init", "--dir", tmp_path)
    who = ("--role", "master", "--name", "m1", "--host", "10.0.0.1", "--host", "m1.example")
    files = json_of("issue", "--dir", tmp_path, *who, "--out", tmp_path / "m1")
    store = TlsStore.load(TlsFiles(ca=files["ca"], cert=files["cert"], key=files["key"]))
    assert store.identity.uri == files["uri"] == f"spiffe://{made['cluster_id']}/master/m1"
    shown = json_of("show", files["cert"])
    assert shown["uri"] == files["uri"]
    assert shown["hosts"] == ["m1.example", "10.0.0.1"]
    assert shown["days_left"] == 364
    assert shown["is_ca"] is False
    assert sorted(path.name for path in (tmp_path / "m1").iterdir()) == [
        "ca.crt",
        "m1.crt",
        "m1.key",
    ]


def test_people_read_lines_with_the_next_command(tmp_path: Path) -> None:
    text = output_of("init", "--dir", tmp_path, "--cluster-id", "demo")
    assert "cluster id   demo" in text
    assert f"pydfsnode certs issue --dir {tmp_path} --role master" in text
    text = output_of("issue", "--dir", tmp_path, "--role", "user", "--name", "alice")
    assert "identity     spiffe://demo/user/alice" in text
    text = output_of("show", tmp_path / "alice.crt")
    assert "identity     spiffe://demo/user/alice" in text
    assert "364 days left" in text


def test_no_command_prints_a_key(tmp_path: Path) -> None:
    text = output_of("init", "--dir", tmp_path)
    text += output_of("issue", "--dir", tmp_path, "--role", "user", "--name", "alice")
    text += output_of("show", tmp_path / "alice.crt", "--json")
    for name in ("ca.key", "alice.key"):
        assert (tmp_path / name).read_text().splitlines()[1] not in text


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    output_of("init", "--dir", tmp_path)
    output_of("issue", "--dir", tmp_path, "--role", "user", "--name", "alice")
    assert "is not overwritten" in str(error_of("init", "--dir", tmp_path))
    again = error_of("issue", "--dir", tmp_path, "--role", "user", "--name", "alice")
    assert isinstance(again, UsageError)
    assert "alice.crt exists" in again.message


def test_wrong_words_are_refused_with_what_is_allowed(tmp_path: Path) -> None:
    output_of("init", "--dir", tmp_path)
    error = error_of("issue", "--dir", tmp_path, "--role", "boss", "--name", "x")
    assert "use one of master, chunkserver, gateway, user, admin" in str(error)
    error = error_of("issue", "--dir", tmp_path, "--role", "user", "--name", "../x")
    assert isinstance(error, UsageError)
    assert run("issue", "--role", "user").exit_code == 2


def test_issuing_without_a_ca_names_the_command_that_makes_one(tmp_path: Path) -> None:
    error = error_of("issue", "--dir", tmp_path, "--role", "user", "--name", "alice")
    assert isinstance(error, CertificateInvalid)
    assert "make one with 'pydfsnode certs init'" in error.message


def test_show_of_a_missing_file_or_a_key_is_refused(tmp_path: Path) -> None:
    output_of("init", "--dir", tmp_path)
    assert "no such certificate file" in str(error_of("show", tmp_path / "none.crt"))
    assert "holds no PEM certificate" in str(error_of("show", tmp_path / "ca.key"))


def test_the_development_plan_makes_a_whole_clusters_certificates(tmp_path: Path) -> None:
    plan = REPOSITORY / "certs" / "development.toml"
    made = json_of("init", "--dir", tmp_path, "--plan", plan)
    assert made["cluster_id"] == "development"
    roles = {}
    for files in made["issued"]:
        store = TlsStore.load(TlsFiles(ca=files["ca"], cert=files["cert"], key=files["key"]))
        roles[store.identity.name] = store.identity.role
    assert roles == {
        "m1": "master", "m2": "master", "m3": "master",
        "c1": "chunkserver", "c2": "chunkserver", "c3": "chunkserver",
        "alice": "user", "root": "admin",
    }  # fmt: skip
    assert json_of("show", tmp_path / "m1.crt")["hosts"] == ["localhost", "127.0.0.1"]
    assert json_of("show", tmp_path / "alice.crt")["hosts"] == []
    assert "issued" in output_of("init", "--dir", tmp_path / "again", "--plan", plan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("certificates = [", "cannot be read as TOML"),
        ("cluster = 'x'\ncertificates = []", "unknown field"),
        ("[[certificates]]\nrole = 'boss'\nnames = ['x']", "role 'boss' is unknown"),
        ("[[certificates]]\nrole = 'user'\nnames = ['a', 'a']", "'a' stands in it twice"),
        ("cluster_id = 'No'\n[[certificates]]\nrole = 'user'\nnames = ['a']", "cluster id 'No'"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_made(
    tmp_path: Path, text: str, message: str
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    error = error_of("init", "--dir", tmp_path / "out", "--plan", plan)
    assert isinstance(error, ConfigError)
    assert message in error.message
    assert not (tmp_path / "out").exists()


def test_a_plan_and_a_cluster_id_exclude_each_other(tmp_path: Path) -> None:
    plan = REPOSITORY / "certs" / "development.toml"
    error = error_of("init", "--dir", tmp_path / "out", "--plan", plan, "--cluster-id", "x")
    assert "exclude each other" in error.message
    assert not (tmp_path / "out").exists()


def test_help_does_not_import_cryptography() -> None:
    code = (
        "import sys; from pydfsnode.cli.certs import group; "
        "group(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "Make the cluster's certificate authority" in finished.stdout
    assert "cryptography" not in finished.stdout.split()
