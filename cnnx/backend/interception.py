"""How others look into calls: what they are handed instead of a kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from .registry import Kernel

Result = TypeVar("Result")

Call = tuple[Kernel, tuple[Any, ...], dict[str, float]]  # a kernel, its arrays and its numbers

interceptor: ContextVar[Callable[[str, Kernel], Kernel] | None] = ContextVar("cnnx_interceptor", default=None)


@contextmanager
def intercept(wrap: Callable[[str, Kernel], Kernel] | None) -> Iterator[None]:
    """Within the block, hand out `wrap(name, kernel)` for every kernel: how the audit looks into calls.

    A kernel that is missing raises MissingKernelError when it is called. None ends an outer interception.
    """
    token = interceptor.set(wrap)
    try:
        yield
    finally:
        interceptor.reset(token)


class Notes:
    """An interceptor that notes down what is called, be it one kernel or what the back end has for several."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, name: str, kernel: Kernel) -> Kernel:
        def noting(*arrays: Any, **numbers: float) -> None:
            self.calls.append((kernel, tuple(a.view() for a in arrays), numbers))  # whose shapes nobody else sets
            kernel(*arrays, **numbers)

        return noting


def recorded(call: Callable[..., Result], *arguments: Any) -> tuple[Result, list[Call]]:
    """What `call(*arguments)` returns, and the kernels that it runs."""
    notes = Notes()
    before = interceptor.get()
    try:  # like the lender of `ops`, without `with`: Ctrl-C cannot come in between
        interceptor.set(notes)
        return call(*arguments), notes.calls
    finally:
        interceptor.set(before)
