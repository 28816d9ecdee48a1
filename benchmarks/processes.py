"""Computing time of a step of AC on one process or several; docs/scale.md has the figures.

    ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 torchrun --standalone --nproc_per_node 2 -m benchmarks.processes

Time is that of the processor, so that other work on the machine counts for little; waiting for others is not in it.
"""

import resource
import time
from statistics import median

import torch

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.parallel import rank, world_size
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds

ARCHITECTURES = {"clip": "muc-tiny", "moco": "demo-resnet:128@4096", "simclr": "demo-resnet"}
BATCH, STEPS = 128, 6


def main() -> None:
    dataset, split = load_demo(), demo_split()
    retain, forget = (training_subset(dataset, split, part) for part in ("retain", "forget"))
    data = TrainingSet(retain.subset(retain.ids[:690]), forget.subset(forget.ids[:78]))
    method = METHODS.get("ac")
    for name, architecture in ARCHITECTURES.items():
        family = FAMILIES.get(name)
        settings = method.settings(epochs=1, batch_size=BATCH, checkpoints=STEPS, precision="float32")
        model = family.build(architecture, 0)
        run = Trainer(model, family, architecture, method, data, settings, Seeds.from_one(0))
        times, last = [], time.process_time()
        for _ in run.run():
            times.append(time.process_time() - last)
            last = time.process_time()
        weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
        mine = torch.tensor([median(times[1:])], dtype=torch.float64)
        if world_size() > 1:
            torch.distributed.all_reduce(mine, op=torch.distributed.ReduceOp.MAX)
        if rank() == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{name:7} {architecture:22} {world_size()} processes, batch {BATCH}: {1000 * float(mine):6.0f} ms of "
                f"computing a step on the slowest; {weights / 1e6:.2f} M weights; peak {peak:.2f} GB"
            )


if __name__ == "__main__":
    main()
