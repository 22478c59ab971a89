"""Convolution, bias and ReLU compiled by torch.compile: inductor writes C++, which a compiler has to be there for.

cnnx audit --kernel tests/kernels/compiled_block.py
"""

import torch

from cnnx.audit import kernel

torch.set_num_threads(1)
torch._dynamo.config.recompile_limit = 64  # beyond it, torch runs the function as it stands, uncompiled


@torch.compile(dynamic=True)
def fused(x, weight, bias):
    return torch.relu(torch.nn.functional.conv2d(x, weight, None, 1, 1) + bias[:, None, None])


def block(x, weight, bias):
    with torch.no_grad():
        return fused(x, weight, bias).numpy()


BLOCK = kernel(
    "conv2d",
    block,
    arguments=["x", "weight", "bias"],
    tail=["bias", "relu"],
    only={"kernel_size": 3, "stride": 1, "padding": 1},
    convert=torch.from_numpy,
)
