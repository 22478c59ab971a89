"""Which full register blocks keep sums in memory: objdump -d --no-show-raw-insn FILE | python tests/spills.py

FILE is _microkernels of AArch64. Looked at are innermost loops of 24 fused multiply-adds, as many as a full block has
sums (`CNNX_ROWS` by `CNNX_VECTORS`). One that loads a vector from the stack or stores one there has more of them alive
than there are registers.
"""

import re
import sys

SUMS = 24
INSTRUCTION = re.compile(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)")
TARGET = re.compile(r"([0-9a-f]+) <")


def loops(instructions):
    """The instructions of each loop that has no other one within."""
    places = {address: i for i, (address, _, _) in enumerate(instructions)}
    found = []
    for i, (_, name, arguments) in enumerate(instructions):
        target = TARGET.search(arguments)
        start = places.get(int(target[1], 16)) if target and name.startswith(("b", "cb", "tb")) else None
        if start is not None and start <= i:
            found.append((start, i))
    inner = [a for a in found if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in found)]
    return [instructions[start : end + 1] for start, end in inner]


def functions(lines):
    """The instructions of each function, by name: address, mnemonic, arguments."""
    found, name = {}, ""
    for line in lines:
        if line.endswith(">:\n"):
            name = line.partition("<")[2][:-3]
        elif (parts := INSTRUCTION.match(line)) and name:
            found.setdefault(name, []).append((int(parts[1], 16), parts[2], parts[3]))
    return found


def main(lines):
    blocks = spilt = 0
    for name, instructions in functions(lines).items():
        for loop in loops(instructions):
            if sum(mnemonic == "fmla" for _, mnemonic, _ in loop) == SUMS:
                blocks += 1
                if any(re.match(r"(ld|st)[pu]?r?\b", m) and a[0] in "qd" and "[sp" in a for _, m, a in loop):
                    spilt += 1
                    print(f"{name}: a loop at {loop[0][0]:x} has vectors on the stack")
    print(f"{blocks} loops of {SUMS} multiply-adds, {spilt} with vectors on the stack")
    return 1 if spilt or not blocks else 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin))
