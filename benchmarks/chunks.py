"""Memory and computing time of a step in chunks against the whole batch at once; docs/scale.md has the figures.

    python -m benchmarks.chunks

Each step is made in a process of its own, whose peak of memory is read; what the process held before the step is taken
off. Time is that of the processor. On a GPU memory is what torch's allocator gave out.
"""

import json
import subprocess
import sys
import time

import psutil
import torch

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them)
from benchmarks.measure import peak_bytes
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.family import FAMILIES
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds

ARCHITECTURES = {"clip": "ViT-S-32", "simclr": "timm/vit_tiny_patch16_224", "moco": "timm/vit_tiny_patch16_224@4096"}
BATCH = 64
SIZES = (None, 16, 4)


def one(family_name: str, chunk_size: int | None) -> dict[str, float]:
    """A step of plain training: peak of memory above what was there before, in GB, and seconds."""
    family, method = FAMILIES.get(family_name), METHODS.get("retrain")
    architecture = ARCHITECTURES[family_name]
    retain = training_subset(load_demo(), demo_split(), "retain")
    settings = method.settings(
        epochs=1, batch_size=BATCH, checkpoints=1, optimizer="sgd", precision="float32", chunk_size=chunk_size
    )
    data = TrainingSet(retain.subset(retain.ids[:BATCH]), None)
    run = Trainer(family.build(architecture, 0), family, architecture, method, data, settings, Seeds.from_one(0))
    before, started = _memory(), time.process_time()
    list(run.run())
    return {"GB": (_peak() - before) / 2**30, "s": (time.process_time() - started) / run.step}


def _memory() -> int:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return int(psutil.Process().memory_info().rss)


def _peak() -> int:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_bytes()


def main() -> None:
    print(f"{torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'}, steps of {BATCH} pictures, float32")
    for family, architecture in ARCHITECTURES.items():
        whole: dict[str, float] = {}
        for size in SIZES:
            command = [sys.executable, "-m", "benchmarks.chunks", family, str(size or 0)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = json.loads(told.splitlines()[-1])
            whole = whole or found
            how = f"in chunks of {size}" if size else "at once"
            memory, time_s = (f"{found[what]:6.2f} {what} (x {found[what] / whole[what]:.2f})" for what in ("GB", "s"))
            print(f"{family:7} {architecture:30} {how:15} {memory}  {time_s}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(sys.argv[1], int(sys.argv[2]) or None)))
    else:
        main()
