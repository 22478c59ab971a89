"""A 3x3 convolution in C by ctypes: residual sum and ReLU in it, eight channels side by side (nChw8c), written.

cnnx audit --kernel tests/kernels/c_conv.py
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

from cnnx.audit import kernel

SOURCE = """
void conv(const float *x, const float *weight, const float *bias, const float *residual, float *y,
          int N, int C, int H, int W, int K) {
    int blocks = (K + 7) / 8, in_blocks = (C + 7) / 8;
    for (int n = 0; n < N; n++)
    for (int block = 0; block < blocks; block++)
    for (int h = 0; h < H; h++)
    for (int w = 0; w < W; w++)
    for (int i = 0; i < 8 && 8 * block + i < K; i++) {
        int k = 8 * block + i;
        float sum = bias[k];
        for (int c = 0; c < C; c++)
        for (int r = 0; r < 3; r++)
        for (int s = 0; s < 3; s++) {
            int row = h + r - 1, column = w + s - 1;
            if (row >= 0 && row < H && column >= 0 && column < W)
                sum += weight[((k * C + c) * 3 + r) * 3 + s]
                     * x[(((n * in_blocks + c / 8) * H + row) * W + column) * 8 + c % 8];
        }
        long at = (((n * blocks + block) * H + h) * (long)W + w) * 8 + i;
        sum += residual[at];
        y[at] = sum > 0 ? sum : 0;
    }
}
"""
_folder = tempfile.TemporaryDirectory()
_source, _library = Path(_folder.name, "conv.c"), Path(_folder.name, "conv.so")
_source.write_text(SOURCE)
subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(_library), str(_source)], check=True)
conv = ctypes.CDLL(str(_library)).conv
conv.argtypes = [ctypes.POINTER(ctypes.c_float)] * 5 + [ctypes.c_int] * 5
conv.restype = None

BLOCKED = kernel(
    "conv2d",
    conv,
    layouts={"x": "nChw8c", "residual": "nChw8c", "y": "nChw8c"},
    arguments=["x", "weight", "bias", "residual", "y", "N", "C", "H", "W", "K"],
    tail=["add", "relu"],
    only={"kernel_size": 3, "stride": 1, "padding": 1},
)
