#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: interpolate(mode="nearest") by a whole factor does not repeat each pixel as often as the factor says.
#
# By a factor of 41 two pixels become 82, of which the first 41 should be the first pixel. The first 42 are: output 41 is
# looked up at floor(41 * (1/41)), and 1/41 is rounded, in float64 too, so that this is floor(0.99999...) = 0. It is so
# by size=82 and by scale_factor=41, on the way back as well: the gradients of the two pixels are 42 and 40. Of the
# factors up to 250, 38 go wrong with two pixels in float32; "nearest-exact", which looks between the pixels, repeats
# them with every factor.
#
# Seen with Python 3.11 on x86-64 (AVX2):
#   float32 size=82: pixel 0 42 times, pixel 1 40 times; gradients 42, 40
#   float32 scale_factor=41: pixel 0 42 times, pixel 1 40 times; gradients 42, 40
#   float64 size=82: pixel 0 42 times, pixel 1 40 times; gradients 42, 40
#   float64 scale_factor=41: pixel 0 42 times, pixel 1 40 times; gradients 42, 40
#   wrong in float32: [41, 47, 55, 61, 82, 83, 94, 97, 107, 109, 110, 115, 121, 122, 123, 141, 159, 164, 165, 166, 188, ...]
#   wrong by nearest-exact: []
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn.functional import interpolate

seen = True
for dtype in (torch.float32, torch.float64):
    for how in ({"size": (1, 82)}, {"scale_factor": (1.0, 41.0)}):
        x = torch.tensor([[[[0.0, 1.0]]]], dtype=dtype, requires_grad=True)
        y = interpolate(x, **how, mode="nearest")
        y.sum().backward()
        ones = int(y.sum())
        first, second = (int(g) for g in x.grad[0, 0, 0])
        name = "size=82" if "size" in how else "scale_factor=41"
        print(f"{str(dtype)[6:]} {name}: pixel 0 {82 - ones} times, pixel 1 {ones} times; gradients {first}, {second}")
        seen = seen and (ones, first, second) == (40, 42, 40)


def wrong(mode):
    x = torch.tensor([[[[0.0, 1.0]]]])
    return [k for k in range(1, 251) if interpolate(x, size=(1, 2 * k), mode=mode).sum() != k]


print(f"wrong in float32: {wrong('nearest')}")
print(f"wrong by nearest-exact: {wrong('nearest-exact')}")
raise SystemExit(not (seen and 41 in wrong("nearest") and not wrong("nearest-exact")))
PYTHON
