"""Convolution and ReLU of PyTorch in bfloat16, images with channels last, as inference runs them.

cnnx audit --kernel tests/kernels/torch_block.py
"""

import ml_dtypes
import torch

from cnnx.audit import kernel

torch.set_num_threads(1)


def tensor(array):
    return torch.from_numpy(array.view("int16")).view(torch.bfloat16)


def block(x, weight, bias, stride, padding):
    channels_last = x.permute(0, 3, 1, 2)  # what NHWC is in torch
    y = torch.relu(torch.nn.functional.conv2d(channels_last, weight, bias, stride, padding))
    return y.permute(0, 2, 3, 1).contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)


NHWC = kernel(
    "conv2d",
    block,
    layouts={"x": "NHWC", "y": "NHWC"},
    arguments=["x", "weight", "bias", "stride", "padding"],
    dtype="bfloat16",
    accumulator="float32",
    tail=["relu"],
    convert=tensor,
)
