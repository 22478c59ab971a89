"""The public face of every op, and the one list that harness, benchmarks, docs and CLI walk."""

from . import conv2d as _conv2d
from ._spec import Case, Draw, Op

OPS: tuple[Op, ...] = (_conv2d.OP,)

for _op in OPS:
    globals().update({f.__name__: f for f in (_op.forward, _op.backward)})

__all__ = [f.__name__ for op in OPS for f in (op.forward, op.backward)]
