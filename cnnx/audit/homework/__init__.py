"""Homework: layers that a reader wrote in NumPy, found in a file, judged by contracts, and what is wrong explained.

roles       what the parameters, attributes and names of homework mean
find        a file's classes and functions, and which op each is
unit        one of them, called: a class with forward and backward, or functions
probes      small cases, each with one thing more than the plain one
mistakes/   what comes out if something is forgotten: what homework gave is looked for among it
settle      how a unit wants its arrays
layer, cost, drop, norm  a unit's results, judged; compared: which mistake gives the same numbers
modes       one object of a class that trains or does not
judge       all of it, within a budget of time
answer      what was found, as data; words: in the reader's language
"""

from . import words
from .judge import check

__all__ = ["check", "words"]
