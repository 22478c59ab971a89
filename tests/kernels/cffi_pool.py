"""A maximum over windows in C by cffi's ABI mode: pointers, extents, and the result written.

cnnx audit --kernel tests/kernels/cffi_pool.py
"""

import subprocess
import tempfile
from pathlib import Path

import cffi

from cnnx.audit import kernel

SOURCE = """
void max_pool(const float *x, float *y, int planes, int H, int W, int P, int Q, int size, int step)
{
    for (int n = 0; n < planes; n++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < Q; q++) {
                const float *window = x + ((long)n * H + p * step) * W + q * step;
                float most = window[0];
                for (int r = 0; r < size; r++)
                    for (int s = 0; s < size; s++)
                        if (window[r * W + s] > most)
                            most = window[r * W + s];
                y[((long)n * P + p) * Q + q] = most;
            }
}
"""
ffi = cffi.FFI()
ffi.cdef("void max_pool(const float *, float *, int, int, int, int, int, int, int);")


def built():
    folder = tempfile.mkdtemp()
    source, library = Path(folder, "pool.c"), Path(folder, "pool.so")
    source.write_text(SOURCE)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return ffi.dlopen(str(library))


library = built()


def max_pool(x, y, N, C, H, W, P, Q, size, step):
    library.max_pool(x, y, N * C, H, W, P, Q, size, step)


POOL = kernel(
    "max_pool2d",
    max_pool,
    arguments=["x", "y", "N", "C", "H", "W", "P", "Q", "int(kernel_size)", "int(stride)"],
    only={"padding": 0, "ceil_mode": False},
    convert=lambda a: ffi.cast("float *", a.ctypes.data),
)
