"""Whole audits of other people's engines, kept as data: op x check, with the share of the budget that was used.

`python -m cnnx.audit.engines ENGINE --write docs/engines` judges an engine in processes of its own and writes
`ENGINE.json` there; `faults.toml` beside it says in words what each failing check is, and
`python -m cnnx.audit.engines.page docs/engines > docs/engines.md` makes a page of all.
"""

from .record import Record as Record
from .words import Fault as Fault
from .words import faults as faults
