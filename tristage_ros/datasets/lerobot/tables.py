"""Parquet files of a dataset: rows of an episode, what is known of episodes, and tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tristage_ros.datasets.lerobot.layout import Feature, LerobotError
from tristage_ros.datasets.lerobot.statistics import Stats
from tristage_ros.words import one_line, shown

ROWS = 4096  # read at once
NUMBER = "episode_index"
_KINDS = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(), "string": pa.string()}


def write(path: Path, table: pa.Table) -> None:
    """Write a table that is on the disk afterwards, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with pq.ParquetWriter(temporary, table.schema, compression="snappy", write_page_checksum=True) as writer:
            writer.write_table(table, row_group_size=max(len(table), 1))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rows(features: Mapping[str, Feature], values: Mapping[str, Sequence[Any] | NDArray[Any]]) -> pa.Table:
    """Return the rows of an episode; the schema says what they are, also to Hugging Face's `datasets`."""
    fields, columns, told = [], [], dict[str, Any]()
    for key, feature in features.items():
        if feature.is_camera:
            continue
        kind = _KINDS[feature.dtype]
        told[key] = {"dtype": feature.dtype, "_type": "Value"}
        if feature.shape == (1,):
            columns.append(pa.array(values[key], kind))
        else:
            size = feature.shape[0]
            flat = np.ascontiguousarray(values[key], feature.dtype).reshape(-1)
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, kind), size))
            told[key] = {"feature": told[key], "length": size, "_type": "List"}
        fields.append(pa.field(key, columns[-1].type))
    schema = pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": told}})})
    return pa.Table.from_arrays(columns, schema=schema)


def tasks(sentences: Sequence[str]) -> pa.Table:
    """Return the table of tasks as pandas keeps one: the sentence is the index."""
    columns = {"task_index": pa.array(range(len(sentences)), pa.int64()), "task": pa.array(sentences, pa.string())}
    described = [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": described, "pandas_version": "2.0.0"}
    return pa.table(columns).replace_schema_metadata({"pandas": json.dumps(pandas)})


def read_tasks(path: Path) -> dict[int, str]:
    """Return the sentences by their numbers.

    Raises:
        LerobotError: the file is missing, damaged, or no table of tasks.
    """
    found: dict[int, str] = {}
    for batch in batches(path):
        texts = [name for name in batch.schema.names if pa.types.is_string(batch.schema.field(name).type)
                 or pa.types.is_large_string(batch.schema.field(name).type)]  # fmt: skip
        if "task_index" not in batch.schema.names or len(texts) != 1:
            raise LerobotError(f"{path} has the columns {shown(batch.schema.names)}, not a task and its task_index")
        for row in python_rows(path, batch):
            number, text = row["task_index"], row[texts[0]]
            if not isinstance(number, int) or not isinstance(text, str):
                raise LerobotError(f"{path}: task {shown(number)} is {shown(text)}")
            found[number] = text
    return found


def python_rows(path: Path, batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch as Python has them.

    Raises:
        LerobotError: a text in it is none.
    """
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise LerobotError(f"{path}: a row cannot be read: {one_line(error, 120)}") from error
    return rows


def stats_of(path: Path) -> dict[str, Stats]:
    """Return the statistics of the one episode that a file is about, by feature.

    Raises:
        LerobotError: the file is missing, damaged, or about something else.
    """
    found: dict[str, Stats] = {}
    for batch in batches(path):
        for name in batch.schema.names:
            if name.startswith("stats/"):
                _, key, stat = name.split("/")
                found.setdefault(key, {})[stat] = np.array(batch[name][0].as_py())
    return found


def batches(
    path: Path, columns: Sequence[str] | None = None, episode: int | None = None, rows: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield what a file holds, so many rows at a time; of an episode, its own rows alone.

    Raises:
        LerobotError: it is missing or damaged; one without its footer is what a writer leaves that was ended.
    """
    where = str(path) if episode is None else f"{path}: episode {episode}"
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            if lacking := sorted({*(columns or ()), *(() if episode is None else (NUMBER,))} - set(names)):
                raise LerobotError(f"{where}: it has no column {', '.join(lacking)}")
            groups = [
                group for group in range(file.num_row_groups) if _may_hold(file.metadata.row_group(group), episode)
            ]
            for batch in file.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
                if episode is None:
                    yield batch
                elif len(own := batch.filter(pc.equal(batch[NUMBER], episode))):
                    yield own
    except FileNotFoundError:
        raise LerobotError(f"{where}: the file is not there") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, LerobotError):
            raise
        hint = "; whoever wrote it did not come to its end" if "magic bytes" in str(error) else ""
        raise LerobotError(f"{where}: it is no whole parquet file: {one_line(error, 120).rstrip('.')}{hint}") from error


def _may_hold(group: Any, episode: int | None) -> bool:
    """Return whether rows of an episode may be in a row group, by what its file says of the smallest and largest."""
    if episode is None:
        return True
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == NUMBER and column.is_stats_set and column.statistics.has_min_max:
            least, most = column.statistics.min, column.statistics.max
            return not (isinstance(least, int) and isinstance(most, int)) or least <= episode <= most
    return True
