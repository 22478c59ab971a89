"""`cnnx audit --self-test`: the matrix mutant x check, in words."""

import argparse
import json
import textwrap

from cnnx.audit.mutants import CASES, MUTANTS
from cnnx.audit.mutants.selftest import SelfTest, self_test

from ._speaker import progress

CAUGHT, ONLY, NOT = "x", "O", "."


def run(arguments: argparse.Namespace) -> int:
    """Test, print, and return the exit code."""
    test = self_test(MUTANTS, seed=arguments.seed, progress=lambda name: progress(f"self-test: {name}"))
    progress("")
    print(json.dumps(test.as_dict(), indent=2) if arguments.json else text(test))
    if test.interrupted:
        return 130
    return 0 if test.ok else 1


def text(test: SelfTest) -> str:
    """The matrix, its legend, what is missing, and a summary."""
    width = max((len(mutant.name) for mutant in test.caught), default=0)
    lines = [f"self-test of the audit: mutants of the optimized back end, seed {test.seed}", ""]
    op = ""
    for mutant, found in test.caught.items():
        if mutant.op != op:
            op = mutant.op
            lines += [f"{op:<{width}}  {'  '.join(test.checks)}"]
        mark = ONLY if len(found) == 1 else CAUGHT
        cells = ((mark if check in found else NOT).center(len(check)) for check in test.checks)
        lines.append(f"{mutant.name:<{width}}  {'  '.join(cells)}".rstrip())
    lines += ["", *_legend(test), ""]
    for check in test.checks:
        names = ", ".join(mutant.name for mutant in test.only(check))
        lines += textwrap.wrap(f"only {check}: {names or 'none'}", 120, subsequent_indent="    ")
    if test.floors:
        lines += ["", f"budgets: {test.floors} shares at least at their floors (cnnx/audit/mutants/floors.json)"]
    lines += ["", *test.missing]
    caught = sum(map(bool, test.caught.values()))
    verdict = "interrupted" if test.interrupted else "ok" if test.ok else "FAILED"
    lines.append(
        f"{caught} of {len(test.caught)} mutants caught, "
        f"{sum(bool(test.only(check)) for check in test.checks)} of {len(test.checks)} checks needed: {verdict}"
    )
    return "\n".join(lines)


def _legend(test: SelfTest) -> list[str]:
    cases = sum(map(len, CASES.values()))
    return [
        f"{CAUGHT}: caught; {ONLY}: caught by this check alone; {NOT}: not seen, or the check does not apply",
        "caught by isolation: kernels that pass for right without being it, isolated, and tried by bound and it alone",
        f"shared_...: the reference has the bug too. {cases} tiny cases, float32 and float64; what each bug is: --json",
    ]
