"""Data of a real cluster lies sealed on every disk, except where a directory wants it plain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode import limits
from tests.support.cluster import Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIB = limits.MIB
NODES = ("m1", "m2", "m3", "c1", "c2", "c3")
SIZES = {"inline": 1000, "packed": 100_000, "file": 2 * MIB + 777, "chunks": 70 * MIB}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev") as cluster:
        yield cluster


def content(mark: str, size: int) -> bytes:
    """*size* bytes that have *mark* everywhere."""
    return (b"planted " + mark.encode() + b" ") * (size // (len(mark) + 9) + 1)


def holders(cluster: Cluster, *texts: str) -> set[str]:
    """Nodes with one of *texts* in some file of their directory, logs included.

    But for the masters' audit trails, which name what was done, and so lie outside the data
    directory; those of chunkservers know no names.
    """
    found = set()
    named = _trails(cluster)
    for node in NODES:
        for file in cluster.data_dir(node).parent.rglob("*"):
            if file.is_file() and file not in named and _has(file, texts):
                found.add(node)
    return found


def _trails(cluster: Cluster) -> list[Path]:
    """Files of the masters' audit trails: names stand in them, content never."""
    kept = [Path(f"{cluster.data_dir(name)}-audit") for name in ("m1", "m2", "m3")]
    found = [file for directory in kept for file in directory.iterdir()]
    assert found
    return found


def _has(file: Path, texts: tuple[str, ...]) -> bool:
    read = file.read_bytes()
    return any(text.encode() in read for text in texts)


def test_no_name_and_no_content_is_on_any_disk(cluster: Cluster) -> None:
    mark, name = "Zw9-in-content", "Xq7-in-names"
    made = {f"/{name}/{kind}": content(mark, size)[:size] for kind, size in SIZES.items()}
    with cluster.connect() as fs:
        fs.makedirs(f"/{name}")
        for path, data in made.items():
            fs.pipe_file(path, data)
        with fs.open(f"/{name}/packed", "ab") as file:
            file.write(content(mark, 50_000))
        made[f"/{name}/packed"] += content(mark, 50_000)
        fs.makedirs(f"/{name}/plain")
        cluster.run("fs", "seal", f"/{name}/plain", "off")
        fs.pipe_file(f"/{name}/plain/f", content("Ab3-is-plain", 200_000))
        for path in (f"/{name}/file", f"/{name}/plain/f"):  # copies that repair makes
            cluster.run("fs", "setrep", "-w", "1", path)
            cluster.run("fs", "setrep", "-w", "3", path)
    cluster.run("dev", "down", "--dir", cluster.directory)
    assert holders(cluster, mark, name) == set()
    assert not any(_has(file, (mark,)) for file in _trails(cluster))
    assert holders(cluster, "Ab3-is-plain") == {"c1", "c2", "c3"}  # what is there is found
    cluster.up()
    with cluster.connect() as fs:
        for path, data in made.items():
            assert fs.cat_file(path) == data


def test_a_chunkserver_that_is_alone_lists_its_chunks_and_serves_them_with_the_first_master(
    cluster: Cluster,
) -> None:
    data = content("Kd5", 3 * MIB)
    with cluster.connect() as fs:
        fs.pipe_file("/alone", data)
    cluster.kill(*NODES)
    cluster.up()
    with cluster.connect() as fs:
        assert fs.cat_file("/alone") == data
        fs.pipe_file("/again", data)
        assert fs.cat_file("/again") == data
    wait_until("the cluster is healthy again", lambda: cluster.status()["health"] == "OK")
    assert "HEALTHY" in cluster.run("cluster", "fsck")
