"""What is asked of a back end: one file for each check, named after it."""

from ..trial import Check
from . import (
    adjoint,
    alignment,
    batch,
    bound,
    dual,
    exact,
    gradient,
    isa,
    isolation,
    layout,
    repeat,
    search,
    special,
    threads,
    worked,
)

_FILES = (
    exact,
    bound,
    layout,
    special,
    threads,
    gradient,
    dual,
    adjoint,
    worked,
    repeat,
    batch,
    alignment,
    isa,
    search,
)

CHECKS: dict[str, Check] = {file.CHECK.name: file.CHECK for file in _FILES}
# What is asked of a back end that is isolated, too.
ISOLATED: dict[str, Check] = {**CHECKS, isolation.CHECK.name: isolation.CHECK}
