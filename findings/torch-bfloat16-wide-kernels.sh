#!/usr/bin/env bash
# PyTorch 2.13.0, CPU with AMX: bfloat16 convolutions of few channels with wide kernels, or by patches, are wrong.
#
# Four channels in patches of 16 x 16, as vision transformers begin, come out wrong by as much as the largest output,
# without a warning; so do conv1d, and a float32 model under torch.autocast("cpu"). With C channels and S columns in
# the kernel and stride 1 it is so where C is even and under 16, and C * S a multiple of 32 and at least 64; in
# patches, where S is the stride too and divides the width, C may be up to 30. Among C from 1 to 32 and S from 1 to 20
# there is nothing else. Images that give 4 outputs or fewer are right. Of each 32 numbers in a row of a window, all
# channels of a column before the next, only the first C are used: those of the first 32 with the weights of column 0,
# of the next 32 with column 1, as if weights were stored with 32 channels and inputs with C. The kernel is oneDNN's
# brg_conv_fwd:avx10_1_512_amx; held to ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, or with torch.backends.mkldnn.enabled =
# False, torch is right.
#
# Seen with Python 3.11 on x86-64, a Xeon with AMX (off: the largest error over the largest output, against float64 on
# the same numbers; rounding to bfloat16 makes up to 0.005 of it):
#   limit none
#     conv2d, 4 channels, 16x16 patches        off by 1.114, float32 by 0.000
#     conv2d, 3 channels, 16x16 patches        off by 0.002, float32 by 0.000
#     conv2d, 8 channels, 3x8 kernel, stride 1 off by 1.020, float32 by 0.000
#     conv1d, 8 channels, 8 taps, stride 1     off by 0.763, float32 by 0.000
#     autocast, 4 channels, 16x16 patches      off by 0.923, float32 by 0.000
#     8 channels, 8 columns: inputs' columns meet weights' columns 0 - - - 1 - - -
#     wrong: 10 of 640 with stride 1, 32 of 640 in patches; against the rule: 0
#   limit AVX512_CORE_BF16
#     conv2d, 4 channels, 16x16 patches        off by 0.002, float32 by 0.000
#     conv2d, 3 channels, 16x16 patches        off by 0.002, float32 by 0.000
#     conv2d, 8 channels, 3x8 kernel, stride 1 off by 0.003, float32 by 0.000
#     conv1d, 8 channels, 8 taps, stride 1     off by 0.002, float32 by 0.000
#     autocast, 4 channels, 16x16 patches      off by 0.005, float32 by 0.000
#     8 channels, 8 columns: inputs' columns meet weights' columns 0 1 2 3 4 5 6 7
#     wrong: 0 of 640 with stride 1, 0 of 640 in patches; against the rule: 0
#
# Ends with 0 if it is still so; with 77 where the processor has no AMX for bfloat16.
set -euo pipefail

grep -q amx_bf16 /proc/cpuinfo || { echo "this processor has no AMX for bfloat16: nothing to be seen"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/wide.py" <<'PYTHON'
import os

import torch
from torch.nn.functional import conv1d, conv2d

torch.set_num_threads(1)
generator = torch.manual_seed(0)
limited = bool(os.environ.get("ONEDNN_MAX_CPU_ISA"))
ok = True


def off(found, expected):
    return float((found.double() - expected).abs().max() / expected.abs().max())


def errors(convolution, x, w, **geometry):
    """Of bfloat16 and of float32, on the numbers that bfloat16 has."""
    x, w = (torch.randn(shape, generator=generator).bfloat16() for shape in (x, w))
    expected = convolution(x.double(), w.double(), **geometry)
    return off(convolution(x, w, **geometry), expected), off(convolution(x.float(), w.float(), **geometry), expected)


def show(what, found, wrong):
    global ok
    print(f"  {what:40} off by {found[0]:.3f}, float32 by {found[1]:.3f}")
    ok &= (found[0] > 0.1) == (wrong and not limited) and found[1] < 1e-5 and (found[0] < 0.004 or wrong)


patches = {"x": (1, 4, 64, 64), "w": (8, 4, 16, 16)}
show("conv2d, 4 channels, 16x16 patches", errors(conv2d, **patches, stride=16), True)
show("conv2d, 3 channels, 16x16 patches", errors(conv2d, (1, 3, 64, 64), (8, 3, 16, 16), stride=16), False)
show("conv2d, 8 channels, 3x8 kernel, stride 1", errors(conv2d, (1, 8, 16, 16), (8, 8, 3, 8)), True)
show("conv1d, 8 channels, 8 taps, stride 1", errors(conv1d, (1, 8, 64), (8, 8, 8)), True)

x, layer = torch.randn(patches["x"], generator=generator), torch.nn.Conv2d(4, 8, 16, stride=16)
with torch.no_grad():
    expected, single = layer.double()(x.double()), layer.float()(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = layer(x)
show("autocast, 4 channels, 16x16 patches", (off(half, expected), off(single, expected)), True)

met = []  # the column of the weights that each column of a window is multiplied by
w = torch.zeros(8, 8, 1, 8).bfloat16()
w[0, 0, 0] = torch.arange(8) + 1
for s in range(8):
    x = torch.zeros(1, 8, 2, 15).bfloat16()
    x[0, 0, 0, s] = 1
    met.append(int(conv2d(x, w)[0, 0, 0, 0]) - 1)
print("  8 channels, 8 columns: inputs' columns meet weights' columns", *("-" if m < 0 else m for m in met))
ok &= met == (list(range(8)) if limited else [0, -1, -1, -1, 1, -1, -1, -1])

counts, exceptions = {1: 0, 0: 0}, 0
for c in range(1, 33):
    for s in range(1, 21):
        for step, most in ((1, 16), (0, 32)):  # 0: patches
            width = s + 7 if step else 3 * s
            wrong = errors(conv2d, (1, c, 2, width), (8, c, 1, s), stride=(1, step or s))[0] > 0.02
            rule = not limited and c % 2 == 0 and c < most and c * s % 32 == 0 and c * s >= 64
            counts[step] += wrong
            exceptions += wrong != rule
print(f"  wrong: {counts[1]} of 640 with stride 1, {counts[0]} of 640 in patches; against the rule: {exceptions}")
raise SystemExit(not ok or exceptions > 0)
PYTHON

for limit in "" AVX512_CORE_BF16; do
    echo "limit ${limit:-none}"
    ONEDNN_MAX_CPU_ISA=$limit "$folder/venv/bin/python" "$folder/wide.py"
done
