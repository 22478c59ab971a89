"""A softmax of rows by Triton, in its interpreter, which needs no GPU: the tutorial's kernel, a row for each program.

cnnx audit --kernel tests/kernels/triton_softmax.py
"""

import os

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

import torch
import triton
import triton.language as tl

from cnnx.audit import kernel


@triton.jit
def of_rows(y, x, count, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < count
    numbers = tl.load(x + row * count + columns, mask=inside, other=-float("inf"))
    powers = tl.exp(numbers - tl.max(numbers, axis=0))
    tl.store(y + row * count + columns, powers / tl.sum(powers, axis=0), mask=inside)


def softmax(x):
    y = torch.empty_like(x)
    of_rows[(x.shape[0],)](y, x, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
    return y.numpy()


ROWS = kernel("softmax", softmax, convert=torch.from_numpy)
