"""Print the op table of docs/ops.md: `python -m cnnx.ops`."""

from . import OPS, Op

MARKS = "<!-- ops: python -m cnnx.ops -->", "<!-- /ops -->"


def table(ops: tuple[Op, ...] = OPS) -> str:
    """The ops as a Markdown table, one line each."""
    lines = ["| op | what | equations | gradients of |", "| --- | --- | --- | --- |"]
    for op in ops:
        cells = f"`{op.name}`", op.summary, op.equations, ", ".join(op.differentiable)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
