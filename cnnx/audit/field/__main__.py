"""Ask the installed engines the table's questions again, and say what changed: a finding, no failure.

python -m cnnx.audit.field [ENGINE ...] [--write FILE]. Exit code 3 if no engine was asked, 0 otherwise.
"""

import argparse
import datetime
import sys
from pathlib import Path

from ..._text import aligned
from ...native import processor
from .engines import ENGINES
from .questions import QUESTIONS
from .run import SECONDS, ask
from .table import TABLE, Table


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cnnx.audit.field", description=__doc__, allow_abbrev=False)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"of {', '.join(ENGINES)}; without: all")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table with what was found")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help="for an engine's questions")
    parser.add_argument("--question", action="append", choices=QUESTIONS, metavar="KEY", help="may be given again")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.engines if name not in ENGINES]
    if unknown:
        parser.error(f"ENGINE: expected some of {', '.join(ENGINES)}, got {', '.join(unknown)}")
    table, rows, asked = TABLE, [], 0
    for name in arguments.engines or ENGINES:
        found = ask(name, arguments.question or QUESTIONS, seconds=arguments.timeout)
        if not found.version:
            print(f"{name}: not asked: {found.why_not}", flush=True)
            continue
        asked += 1
        changed = _changed(name, found.answers, table)
        before = table.engines.get(name, {}).get("version", "none")
        if arguments.question and arguments.write and before != found.version:
            parser.error(f"--question: expected none with --write and another version, {name} {found.version}")
        print(
            f"{name} {found.version} (before: {before}): {len(found.answers)} answers, {len(changed)} changed",
            flush=True,
        )
        rows += [(name, key, was, is_now) for key, was, is_now in changed]
        about = {"version": found.version, "date": datetime.date.today().isoformat(), "processor": processor()}
        table = table.replaced(name, about, found.answers)
    if rows:
        print("", *aligned([("engine", "question", "was", "is"), *rows], left=4), sep="\n")
    if arguments.write is not None and asked:
        ordered = {key: table.answers[key] for key in QUESTIONS if key in table.answers}
        engines = {name: table.engines[name] for name in ENGINES if name in table.engines}
        answers = {key: {name: row[name] for name in engines if name in row} for key, row in ordered.items()}
        arguments.write.write_text(Table(engines, answers, table.elsewhere).text(), encoding="utf-8")
    return 0 if asked else 3


def _changed(name: str, answers: dict[str, str], table: Table) -> list[tuple[str, str, str]]:
    was = {key: table.answers.get(key, {}).get(name, "-") for key in answers}
    return [(key, was[key], answer) for key, answer in answers.items() if was[key] != answer]


if __name__ == "__main__":
    sys.exit(main())
