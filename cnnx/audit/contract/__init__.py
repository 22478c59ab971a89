"""Contracts: other people's kernels, described, so that an audit can judge them as they are.

kernel      a function and what it computes, of what, in which order and arithmetic
checked     what it is told, checked; callee: how it is called, in whatever process
layout      NHWC, HWIO, nChw16c
names       what arrays and numbers are called
tail        what is fused behind an op, and the equation of all at once
whole       norms that compute their own statistics; stepwise: what is fused, by ops one after the other
call        the function, called as a kernel of cnnx
command     a program that reads and writes .npy files
session     contracts as a back end, for as long as an audit lasts
load        the kernels of a Python file
"""

from .command import Command
from .kernel import Constant, Kernel, kernel
from .load import enter, load
from .session import in_force

__all__ = ["Command", "Constant", "Kernel", "enter", "in_force", "kernel", "load"]
