"""Judge homework: layers that a reader wrote in NumPy, found by their names in a file.

The file is run. Classes with forward and backward (Convolution, Pooling, Affine, Relu, Sigmoid, SoftmaxWithLoss, ...)
and functions (conv2d and conv2d_backward, ...) are held to the equations; of what is wrong the smallest example is
printed with the terms of its equation, and the mistake, where the numbers show which it is.

Exit code 0: all that was found is right; 1: something is wrong; 2: something could not be judged; 3: nothing was found.
"""

import argparse

from ._language import add_language


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx check`."""
    add = parser.add_argument
    add("file", metavar="FILE.py", help="the homework; it is run")
    add(
        "--map",
        action="append",
        default=[],
        metavar="OP=NAME",
        help="what stands for an op: conv2d=MyConv, conv2d.backward=my_grad; or CNNX = {...} in the file",
    )
    add("--seconds", type=float, default=50.0, metavar="N", help="how long it may take (default 50)")
    add_language(parser)


def run(arguments: argparse.Namespace) -> int:
    """Judge, print, and return the exit code."""
    from cnnx.audit.homework import check, words

    answer = check(arguments.file, mapping=tuple(arguments.map), seconds=arguments.seconds)
    for line in words.said(answer):
        print(line)
    return answer.code
