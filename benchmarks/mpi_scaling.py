"""How long an update takes on this many ranks, a thread each: mpiexec -n 2 python benchmarks/mpi_scaling.py

Prints, for two networks and some batch sizes, the fastest twentieth of the updates, their median, and the same of the
Allreduce alone. The quotient of two runs' is the strong scaling; of a busy machine it says nothing, as ranks then wait
for ranks that have no processor.
"""

import time

import numpy as np

import cnnx
from cnnx import nn

UPDATES = {10: 1000, 64: 300, 256: 100}


def larger():
    """Of 52,138 parameters."""
    random = np.random.default_rng(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, seed=random), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1, seed=random), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Affine(784, 64, seed=random), nn.ReLU(), nn.Affine(64, 10, seed=random)),
    )


class Timed(nn.SGD):
    """Notes when each step was done."""

    def __init__(self):
        super().__init__(0.01)
        self.times = []

    def step(self, *arguments):
        super().step(*arguments)
        self.times.append(time.perf_counter())


def shown(seconds):
    return " / ".join(f"{1e6 * np.percentile(seconds, share):.0f}" for share in (5, 50))


def main():
    cnnx.set_num_threads(1)
    ranks = nn.Ranks()
    rng = np.random.default_rng(0)
    x, y = rng.random((2560, 1, 28, 28)).astype("float32"), rng.integers(0, 10, 2560)
    for name, network in ("CN's", lambda: nn.cn_network(seed=0)), ("larger", larger):
        for batch, updates in UPDATES.items():
            model, timed = network(), Timed()
            nn.fit(model, nn.CrossEntropy(), timed, x, y, batch_size=batch, updates=updates, seed=0, ranks=ranks)
            flat = np.zeros(sum(w.size for w in model.parameters.values()) + 3, "float32")
            waits = []
            for _ in range(300):
                ranks.total([0.0])  # so that all begin at once
                start = time.perf_counter()
                ranks.add_up(flat)
                waits.append(time.perf_counter() - start)
            if ranks.rank == 0:
                print(
                    f"{name} network, {ranks.size} ranks, {batch} images an update: {shown(np.diff(timed.times))} us, "
                    f"Allreduce of {flat.nbytes} bytes {shown(waits)} us",
                    flush=True,
                )


if __name__ == "__main__":
    main()
