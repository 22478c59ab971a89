"""Print what engines do where they may differ, or what changes from one to another.

cnnx compat                                      the table: each question with the engines by their answers
cnnx compat avg_pool2d torch                     of an op, or of pooling, convolution, ...; of an engine
cnnx compat pooling --from torch --to openvino   does it mean the same there? exit code 1 if something differs
cnnx compat --model m.onnx --from torch --to openvino   the same for each node of an ONNX file
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from cnnx._text import expected_one_of
from cnnx.audit.field import QUESTIONS, TABLE, lacks
from cnnx.audit.field.between import DIFFERENT, MISSING, SAME, Node, Row, between, keys_of, known_ops, of_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx compat`."""
    add = parser.add_argument
    add("words", nargs="*", metavar="OP|ENGINE", help=f"an op ({', '.join(known_ops()[:6])}, ...), an engine, or both")
    add("--from", dest="one", metavar="ENGINE", help=f"with --to: one of {', '.join(TABLE.engines)}")
    add("--to", dest="other", metavar="ENGINE", help="say what differs there")
    add("--model", type=Path, metavar="FILE", help="an ONNX file whose nodes are looked at; with --from and --to")
    add("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print, and return the exit code."""
    op, engine = _words(arguments.words)
    one, other = arguments.one, arguments.other
    if (one is None) != (other is None):
        raise ValueError("--from, --to: expected both or none")
    for option, name in ("--from", one), ("--to", other):
        if name is not None and name not in TABLE.engines:
            raise ValueError(f"{option}: {expected_one_of(TABLE.engines, name)}")
    if one is None:
        if arguments.model is not None:
            raise ValueError("--model: expected --from ENGINE --to ENGINE too")
        print(_json_table(op, engine) if arguments.json else "\n".join(_table(op, engine)))
        return 0
    if engine:
        raise ValueError(f"ENGINE: expected none beside --from and --to, got {engine!r}")
    if arguments.model is not None:
        if op:
            raise ValueError(f"OP: expected none with --model, got {op!r}")
        count, nodes = of_model(arguments.model, one, other)
        differs = any(row.verdict == DIFFERENT for node in nodes for row in node.rows)
        print(_json_model(count, nodes, one, other) if arguments.json else "\n".join(_model(count, nodes, one, other)))
        return int(differs)
    rows = between(one, other, op)
    print(json.dumps(_json_rows(rows, one, other), indent=1) if arguments.json else "\n".join(_rows(rows, one, other)))
    return int(any(row.verdict == DIFFERENT for row in rows))


def _words(words: list[str]) -> tuple[str, str]:
    """The op and the engine that were named, "" for none."""
    op = engine = ""
    for word in words:
        if word in TABLE.engines and not engine:
            engine = word
        elif word in known_ops() and not op:
            op = word
        else:
            raise ValueError(f"OP|ENGINE: {expected_one_of([*known_ops(), *TABLE.engines], word)}")
    return op, engine


def _title(name: str) -> str:
    about = TABLE.engines[name]
    return f"{name} {about['version']} ({about['date']})"


def _table(op: str, engine: str) -> Iterator[str]:
    yield from [_title(name) for name in ([engine] if engine else TABLE.engines)]
    for key in keys_of(op):
        question, row = QUESTIONS[key], TABLE.answers[key]
        yield ""
        yield f"{key} ({', '.join(question.ops)}): {question.text}"
        if engine:
            yield f"  {row[engine]}"
            yield from _elsewhere(key, engine)
            continue
        by_answer: dict[str, list[str]] = {}
        for name, answer in row.items():
            by_answer.setdefault("does not have it" if lacks(answer) else answer, []).append(name)
        yield from (f"  {answer}: {', '.join(names)}" for answer, names in _missing_last(by_answer))
        yield from _elsewhere(key, *TABLE.engines)


def _elsewhere(key: str, *engines: str) -> Iterator[str]:
    """What was answered on another processor."""
    found = TABLE.elsewhere.get(key, {})
    yield from (f"  elsewhere {name}: {found[name]}" for name in engines if name in found)


def _missing_last(by_answer: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    return sorted(by_answer.items(), key=lambda item: (lacks(item[0]), -len(item[1])))


def _json_table(op: str, engine: str) -> str:
    names = [engine] if engine else [*TABLE.engines]
    questions = [
        {
            "key": key,
            "ops": QUESTIONS[key].ops,
            "question": QUESTIONS[key].text,
            "answers": {name: TABLE.answers[key][name] for name in names},
            "elsewhere": {name: one for name, one in TABLE.elsewhere.get(key, {}).items() if name in names},
        }
        for key in keys_of(op)
    ]
    return json.dumps({"engines": {name: TABLE.engines[name] for name in names}, "questions": questions}, indent=1)


def _rows(rows: list[Row], one: str, other: str) -> Iterator[str]:
    yield f"from {_title(one)} to {_title(other)}"
    for row in rows:
        elsewhere = [*_elsewhere(row.key, one, other)]
        if row.verdict == DIFFERENT or elsewhere:
            yield ""
            yield f"{row.key}: {QUESTIONS[row.key].text}"
            yield f"  {one}: {row.answers[0]}"
            yield f"  {other}: {row.answers[1]}"
            yield from elsewhere
    yield ""
    same, missing = ([row.key for row in rows if row.verdict == kind] for kind in (SAME, MISSING))
    if missing:
        yield f"one of them does not have it: {', '.join(missing)}"
    if same:
        yield f"the same: {', '.join(same)}"
    yield _verdict(sum(row.verdict == DIFFERENT for row in rows), len(rows), "question")


def _verdict(differing: int, count: int, what: str) -> str:
    words = f"{count} {what}{'s' * (count != 1)}"
    return f"{words}: {differing} answered otherwise" if differing else f"{words}: none answered otherwise"


def _json_rows(rows: list[Row], one: str, other: str) -> dict[str, object]:
    return {
        "from": {"engine": one, **TABLE.engines[one]},
        "to": {"engine": other, **TABLE.engines[other]},
        "questions": [
            {"key": row.key, "question": QUESTIONS[row.key].text, "from": row.answers[0], "to": row.answers[1],
             "verdict": row.verdict}
            for row in rows
        ],
    }  # fmt: skip


def _model(count: int, nodes: list[Node], one: str, other: str) -> Iterator[str]:
    """Of nodes that differ alike, all names behind what differs."""
    yield f"from {_title(one)} to {_title(other)}"
    alike: dict[tuple[str, Row], list[str]] = {}
    for node in nodes:
        for row in node.rows:
            alike.setdefault((node.operator, row), []).append(node.name)
    for (operator, row), names in alike.items():
        yield ""
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        yield f"{operator} ({shown}): {QUESTIONS[row.key].text}"
        yield f"  {one}: {row.answers[0]}"
        yield f"  {other}: {row.answers[1]}"
    yield ""
    differing = sum(any(row.verdict == DIFFERENT for row in node.rows) for node in nodes)
    yield f"{count} node{'s' * (count != 1)}: {differing} may mean something else"


def _json_model(count: int, nodes: list[Node], one: str, other: str) -> str:
    found = [
        {"node": node.name, "operator": node.operator, "questions": _json_rows(node.rows, one, other)["questions"]}
        for node in nodes
    ]
    sides = {"from": {"engine": one, **TABLE.engines[one]}, "to": {"engine": other, **TABLE.engines[other]}}
    return json.dumps({**sides, "nodes": count, "differing": found}, indent=1)
