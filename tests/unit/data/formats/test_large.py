"""A million rows: opened without a look at a picture, held compactly, and read where they are needed only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile import png

ROWS = 1_000_000
GROUP = 10_000

PROBE = """
import json, sys, tracemalloc, time
import pyarrow as pa, pyarrow.parquet as pq
from muc_core.data import decode, pictures
from muc_core.data.sets import load_dataset

groups, decoded = [], []
read, decode_image = pq.ParquetFile.read_row_group, pictures.decode_image
def read_row_group(self, group, columns):
    groups.append([group, list(columns)])
    return read(self, group, columns=columns)
def count(data, name):
    decoded.append(name)
    return decode_image(data, name)
pq.ParquetFile.read_row_group, pictures.decode_image = read_row_group, count

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

before = peak()
dataset = load_dataset(sys.argv[1])
said = {"opened_mb": peak() - before, "rows": len(dataset), "groups_on_opening": list(groups), "decoded": len(decoded)}
last = dataset.items.ids[len(dataset) - 1]
said["last"] = [last, dataset.index_of(last), dataset.find("nothing") is None]
groups.clear()
said["shape"] = list(dataset.source.load([5, len(dataset) - 1, 6], 8).shape)
said["groups_for_three"] = list(groups)
said["decoded_for_three"] = len(decoded)
decoded.clear()
said["digest"] = dataset.digest()
said["decoded_for_digest"] = len(decoded)
said["text"] = dataset.items[123_456].text
said["part"] = len(dataset.subset([dataset.items.ids[row] for row in range(0, len(dataset), 100)]))
said["all_mb"] = peak() - before
print(json.dumps(said))
"""


def probe(path: Path) -> dict[str, Any]:
    """What a process of its own says that opens the set, so that its peak memory is that of the set."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return said


def check(said: dict[str, Any], last: str) -> None:
    assert said["rows"] == ROWS
    assert said["decoded"] == 0
    assert said["last"] == [last, ROWS - 1, True]
    assert said["shape"] == [3, 3, 8, 8]
    assert said["decoded_for_three"] == 3
    assert said["decoded_for_digest"] == 0
    assert len(said["digest"]) == 64
    assert said["text"] == "caption 123456"
    assert said["part"] == ROWS // 100


@pytest.mark.slow
def test_a_million_rows_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    content = png()
    with pq.ParquetWriter(
        path, pa.schema({"image": pa.binary(), "caption": pa.string()}), use_dictionary=False
    ) as file:
        for group in range(ROWS // GROUP):
            captions = pa.array([f"caption {row}" for row in range(group * GROUP, (group + 1) * GROUP)])
            file.write_table(pa.table({"image": pa.array([content] * GROUP), "caption": captions}), GROUP)
    said = probe(path)
    check(said, f"large/{ROWS - 1:08d}")
    assert said["groups_on_opening"] == []
    assert said["groups_for_three"] == [[0, ["image"]], [ROWS // GROUP - 1, ["image"]]]
    # the pictures alone are many times that
    assert said["opened_mb"] < 50
    assert len(content) * ROWS / 2**20 > 100


@pytest.mark.slow
def test_a_million_lines_of_csv(tmp_path: Path) -> None:
    # a thousand links to the folder give one file a million names
    (tmp_path / "a.png").write_bytes(png())
    for number in range(1000):
        (tmp_path / f"{number:03d}").symlink_to(tmp_path)
    order = np.random.default_rng(0).permutation(ROWS).tolist()
    path = tmp_path / "large.csv"
    with path.open("w") as stream:
        stream.write("filepath,title,label\n")
        stream.writelines(f"{_file(number)},caption {row},class {row % 10}\n" for row, number in enumerate(order))
    said = probe(path)
    check(said, _file(order[-1]))
    # one object a row would take twice that
    assert said["opened_mb"] < 250


def _file(number: int) -> str:
    return f"{number // 1000:03d}/{number % 1000:03d}/a.png"
