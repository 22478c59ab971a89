"""assert_kernel: for unittest, plain scripts and whatever else knows AssertionError."""

from collections.abc import Callable
from typing import Any

from ..report.report import Report
from ..run import again, audit
from .backends import Given, Ops, given
from .words import failure

SHRINK = 5.0  # seconds for each check's first finding


def assert_kernel(
    backend: Any,
    op: Ops = None,
    *,
    budget: float = 1.0,
    shrink: float = SHRINK,
    repro: str | None = None,
    **options: Any,
) -> Report:
    """Judge kernels, and raise an AssertionError that says what is wrong with them.

    Parameters
    ----------
    backend : str, function, mapping or module
        A back end's name; a function with the signature of its twin in `cnnx.reference`; several of them by name, as
        `cnnx.register_backend` takes them; or anything that `audit(backend=...)` takes.
    op : str, iterable of str or None
        The ops to judge. A function is its op's first kernel, or the one that is named instead of the op
        ("conv2d_grad_weight"); with None its own name says it. Of several kernels None stands for all their ops.
    budget : float
        The largest share of an equation's error bound that an element may use, at most 1.
    shrink : float
        Seconds to spend on each check's first finding, to find the smallest case that still fails.
    repro : str or None
        What a finding says: judge that case alone.
    **options
        As `cnnx.audit.audit` takes them: checks, dtypes, cases, search, search_cases, seed, against, compat, require,
        timeout, ... With `repro` against, compat, require and timeout.

    Returns
    -------
    Report
        Of kernels that are right.

    Raises
    ------
    AssertionError
        A check failed, is mistrusted, or nothing ran: the first finding of each check with its numbers, the terms of
        the equation there and what repeats it.
    TypeError, ValueError
        As `audit` and `cnnx.register_backend` raise them; a budget that is not within 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.audit import assert_kernel
    >>> def relu(Z, /, Y):
    ...     np.maximum(Z, 0, out=Y)
    >>> assert_kernel(relu, checks=["exact", "bound"])
    <Report of relu() against reference: 48 cases of 1 op, all agree>
    """
    __tracebackhide__ = True  # pytest shows the caller's line

    def repeats(words: str, command: str) -> str:
        if isinstance(backend, str):
            return command
        name, ops = getattr(backend, "__name__", "kernels"), "" if op is None else f", {op!r}"
        return f"cnnx.audit.assert_kernel({name}{ops}, repro={words!r})"

    report, words = judged(given(backend, op), repeats, budget=budget, shrink=shrink, repro=repro, **options)
    if words:
        raise AssertionError(words)
    return report


def judged(
    what: Given,
    repeats: Callable[[str, str], str],
    *,
    budget: float = 1.0,
    shrink: float = SHRINK,
    repro: str | None = None,
    **options: Any,
) -> tuple[Report, str]:
    """What `assert_kernel` finds, and why that is not good enough, or "".

    repeats : what repeats a finding, from --repro's text and the audit's own line.
    """
    if not 0 < budget <= 1:
        raise ValueError(f"budget: expected a share of the error bound, more than 0 and at most 1, got {budget:g}")
    with what.at_hand() as backend:
        if repro is not None:
            report = again(repro, backend=backend, **options)
        else:
            report = audit(what.ops, backend=backend, shrink=shrink, **{"measure": False, **options})
    return report, failure(report, budget, repeats)
