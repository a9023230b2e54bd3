"""The tools that people have for tables read and write CSV and Parquet in a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask.dataframe
import duckdb
import fsspec
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest

from pydfsnode.client.fsspec_filesystem import PydfsFileSystem
from tests.support.cluster import Cluster
from tests.support.library_page import examples, run_examples

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROWS = 20_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("tools") / "dev") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def options(cluster: Cluster) -> dict[str, str]:
    return {"config": str(cluster.directory / "client.toml")}


@pytest.fixture(scope="module")
def fs(options: dict[str, str]) -> PydfsFileSystem:
    return fsspec.filesystem("pydfs", **options)


@pytest.fixture(scope="module")
def frame() -> pandas.DataFrame:
    numbers = range(ROWS)
    return pandas.DataFrame(
        {"number": numbers, "square": [n * n for n in numbers], "word": [f"w{n}" for n in numbers]}
    )


def test_pandas(frame: pandas.DataFrame, options: dict[str, str]) -> None:
    frame.to_csv("pydfs:///pandas/t.csv", index=False, storage_options=options)
    found = pandas.read_csv("pydfs:///pandas/t.csv", storage_options=options)
    pandas.testing.assert_frame_equal(found, frame, check_dtype=False)
    frame.to_csv("pydfs:///pandas/t.csv.gz", index=False, storage_options=options)
    found = pandas.read_csv("pydfs:///pandas/t.csv.gz", storage_options=options)
    assert found["square"].sum() == frame["square"].sum()
    frame.to_parquet("pydfs:///pandas/t.parquet", storage_options=options)
    found = pandas.read_parquet(
        "pydfs:///pandas/t.parquet", columns=["square"], storage_options=options
    )
    assert found["square"].tolist() == frame["square"].tolist()
    frame.to_json("pydfs:///pandas/t.json", orient="records", storage_options=options)
    assert len(pandas.read_json("pydfs:///pandas/t.json", storage_options=options)) == ROWS
    with pytest.raises(FileNotFoundError):
        pandas.read_csv("pydfs:///pandas/nothing.csv", storage_options=options)


def test_pyarrow(frame: pandas.DataFrame, fs: PydfsFileSystem) -> None:
    table = pyarrow.Table.from_pandas(frame)
    pyarrow.parquet.write_table(table, "/arrow/t.parquet", filesystem=fs)
    assert pyarrow.parquet.read_table("/arrow/t.parquet", filesystem=fs).equals(table)
    arrow_fs = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    with arrow_fs.open_output_stream("/arrow/t.csv") as file:
        pyarrow.csv.write_csv(table, file)
    with arrow_fs.open_input_file("/arrow/t.csv") as file:
        assert pyarrow.csv.read_csv(file).num_rows == ROWS
    parted = table.append_column("part", pyarrow.array([n % 3 for n in range(ROWS)]))
    pyarrow.dataset.write_dataset(
        parted, "/arrow/parts", filesystem=fs, format="parquet", partitioning=["part"]
    )
    dataset = pyarrow.dataset.dataset("/arrow/parts", filesystem=fs, partitioning=["part"])
    assert dataset.count_rows() == ROWS
    assert dataset.count_rows(filter=pyarrow.dataset.field("number") < 10) == 10


def test_dask(frame: pandas.DataFrame, options: dict[str, str]) -> None:
    parts = dask.dataframe.from_pandas(frame, npartitions=4)
    parts.to_parquet("pydfs:///dask/parquet", storage_options=options)
    found = dask.dataframe.read_parquet("pydfs:///dask/parquet", storage_options=options)
    assert found["square"].sum().compute() == frame["square"].sum()
    parts.to_csv("pydfs:///dask/csv/*.csv", index=False, storage_options=options)
    found = dask.dataframe.read_csv(
        "pydfs:///dask/csv/*.csv", blocksize=30_000, storage_options=options
    )
    assert found.npartitions > 4, "a file is read in several blocks"
    assert found["number"].sum().compute() == frame["number"].sum()


def test_duckdb(frame: pandas.DataFrame, fs: PydfsFileSystem) -> None:
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        database.register("frame", frame)
        database.execute("COPY (SELECT * FROM frame) TO 'pydfs:///duck/t.parquet'")
        database.execute("COPY (SELECT * FROM frame) TO 'pydfs:///duck/t.csv' (HEADER)")
        for source in ("read_parquet('pydfs:///duck/*.parquet')", "'pydfs:///duck/t.csv'"):
            found = database.execute(f"SELECT count(*), sum(square) FROM {source}").fetchone()
            assert found == (ROWS, frame["square"].sum()), source
    assert fs.find("/duck") == ["/duck/t.csv", "/duck/t.parquet"]


def test_the_examples_of_the_page(cluster: Cluster, tmp_path: Path) -> None:
    blocks = examples(of_tools=True)
    assert len(blocks) >= 2
    run_examples(cluster, blocks, tmp_path)
