"""Layers that keep their weights, networks, costs, optimisers and a training loop."""

from ._layer import Layer
from .activation import (
    ELU,
    GELU,
    Activation,
    Clip,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Step,
    Tanh,
)
from .compiled import Compiled
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .cost import Cost, CrossEntropy, SquaredError
from .evaluate import accuracy, evaluate, predict
from .fit import fit
from .graph import Graph
from .history import Epoch, History
from .init import he, xavier
from .layers import Affine, BatchNorm2d, Dropout, Flatten
from .local_response_norm import LocalResponseNorm
from .merge import Add, Concat, MatMul, Multiply
from .mobilenet import mobilenet_v2
from .models import cn_network, cnn, mlp, ox_network
from .normalize import GroupNorm, InstanceNorm2d, LayerNorm
from .optimizer import SGD, Adam, Optimizer
from .pad import Pad2d
from .parallel import Ranks
from .pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, LpPool2d, MaxPool2d
from .resnet import resnet18
from .scale import Bias, Constant, Scale
from .schedule import CosineSchedule, StepSchedule
from .sequential import Sequential
from .shape import Reshape, Slice, Transpose, ZeroPad2d
from .summary import LayerSummary, Summary
from .unet import unet
from .upsample import Upsample2d

__all__ = [
    "ELU",
    "GELU",
    "SGD",
    "Activation",
    "Adam",
    "Add",
    "Affine",
    "AvgPool2d",
    "BatchNorm2d",
    "Bias",
    "Clip",
    "Compiled",
    "Concat",
    "Constant",
    "Conv2d",
    "ConvTranspose2d",
    "CosineSchedule",
    "Cost",
    "CrossEntropy",
    "Dropout",
    "Epoch",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Graph",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "History",
    "Identity",
    "InstanceNorm2d",
    "Layer",
    "LayerNorm",
    "LayerSummary",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSoftmax",
    "LpPool2d",
    "MatMul",
    "MaxPool2d",
    "Multiply",
    "Optimizer",
    "PReLU",
    "Pad2d",
    "Ranks",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "SquaredError",
    "Step",
    "StepSchedule",
    "Summary",
    "Tanh",
    "Transpose",
    "Upsample2d",
    "ZeroPad2d",
    "accuracy",
    "cn_network",
    "cnn",
    "evaluate",
    "fit",
    "he",
    "mlp",
    "mobilenet_v2",
    "ox_network",
    "predict",
    "resnet18",
    "unet",
    "xavier",
]
