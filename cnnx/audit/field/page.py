"""The table as a page of Markdown: python -m cnnx.audit.field.page > docs/conventions.md."""

from collections.abc import Iterator

from .between import GROUPS
from .questions import QUESTIONS
from .table import TABLE, Table, lacks

HEAD = """\
# What engines do where they may differ

Written by `python -m cnnx.audit.field.page` from `cnnx/audit/field/conventions.toml`; `cnnx compat` prints the same,
and `cnnx compat pooling --from torch --to openvino` what changes from one engine to another. Each answer was given by a
probe that ran (`cnnx/audit/field/questions.py`): valid input, float32, on the CPU, an engine's own defaults.
`tox -e field` asks the installed engines again.
"""
TITLES = {
    "pooling": "Pooling",
    "convolution": "Convolution",
    "activations": "Activations",
    "normalisation": "Batch normalisation",
    "costs": "Costs",
    "": "Softmax, products, resizing",
}


def page(table: Table = TABLE) -> str:
    """The page's text."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield HEAD
    yield "| engine | version | asked on | processor |"
    yield "| --- | --- | --- | --- |"
    yield from (
        f"| {name} | {one['version']} | {one['date']} | {one['processor']} |" for name, one in table.engines.items()
    )
    left = dict.fromkeys(table.answers)
    for group, title in TITLES.items():
        keys = [key for key in left if not group or {*GROUPS[group]} & {*QUESTIONS[key].ops}]
        yield f"\n## {title}"
        for key in keys:
            del left[key]
            yield from _question(key, table.answers[key])
            if key in table.elsewhere:
                others = "; ".join(f"{name} {answer}" for name, answer in table.elsewhere[key].items())
                yield f"\nThe same version on another processor, before: {others}."


def _question(key: str, row: dict[str, str]) -> Iterator[str]:
    one = QUESTIONS[key]
    yield f"\n**{one.text}** (`{key}`{', a default' if one.default else ''})\n"
    by_answer: dict[str, list[str]] = {}
    for name, answer in row.items():
        by_answer.setdefault("-" if lacks(answer) else answer, []).append(name)
    yield "| answer | engines |"
    yield "| --- | --- |"
    for answer, names in sorted(by_answer.items(), key=lambda item: (item[0] == "-", -len(item[1]))):
        yield f"| {'does not have it' if answer == '-' else answer.replace('|', chr(92) + '|')} | {', '.join(names)} |"


if __name__ == "__main__":
    print(page(), end="")
