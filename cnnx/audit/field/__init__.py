"""What engines do where they may differ: the table of conventions, and the probes that it comes from.

`conventions.toml` has the answers of each engine, with its version and the date; every one was given by a probe that
ran (`questions`, `engines`), in a process of its own for each engine. `python -m cnnx.audit.field` asks the installed
engines again and says what changed.
"""

from .questions import QUESTIONS as QUESTIONS
from .questions import Question as Question
from .table import TABLE as TABLE
from .table import Table as Table
from .table import lacks as lacks
