"""Instructions and cache misses of calls, counted: by the processor (perf_event_open) or by callgrind, a simulation.

What is counted does not depend on what else the machine does. Of small functions it varies by a few per cent from
process to process all the same. It is no speed: instructions take from a quarter of a cycle to hundreds.

The standard library alone, for any Python since 3.9: it is loaded by its path where other projects are measured. Linux.
"""

from __future__ import annotations

import ctypes
import gc
import glob
import mmap
import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Callable
from typing import Any

INSTRUCTIONS, MISSES = EVENTS = ("instructions", "cache misses")
PERF, CALLGRIND = "perf_event_open", "callgrind"
OUT = "CNNX_CALLGRIND_OUT"  # the file that callgrind was told to write

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_HARDWARE, _CONFIG = 0, {INSTRUCTIONS: 1, MISSES: 3}  # linux/perf_event.h: PERF_TYPE_HARDWARE, PERF_COUNT_HW_*
_OFF, _NO_KERNEL, _NO_HYPERVISOR, _THREADS = 1 << 0, 1 << 5, 1 << 6, 1 << 1  # disabled, exclude_*, inherit
_ENABLE, _DISABLE, _RESET = 0x2400, 0x2401, 0x2403


class CountingError(RuntimeError):
    """Nothing can be counted here: why."""


def means() -> str:
    """What can count here, perf_event_open before callgrind.

    Raises
    ------
    CountingError
        Neither.
    """
    try:
        for each in _opened():
            os.close(each)
        return PERF
    except CountingError as error:
        why = str(error)
    if (other := why_no_callgrind()) is not None:
        raise CountingError(f"{why}; {other}")
    return CALLGRIND


def why_no_callgrind() -> str | None:
    """Why callgrind cannot be used; None where it can."""
    if platform.machine() != "x86_64":
        return f"callgrind: expected x86_64, whose requests are known here, got {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "callgrind: expected valgrind, got none (apt install valgrind)"
    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True)
    return None if done.returncode == 0 else "callgrind: valgrind does not start"


def why_no_perf() -> str | None:
    """Why the processor's counters cannot be read; None where they can."""
    try:
        for each in _opened():
            os.close(each)
    except CountingError as error:
        return str(error)
    return None


def counted(call: Callable[[], Any], count: int = 1) -> dict[str, float]:
    """What a call did, of so many: by callgrind where this process runs in it, else by the processor's counters.

    Of all threads that callgrind sees; of this one and those that it starts, where the processor counts.

    Raises
    ------
    CountingError
        Nothing can be counted.
    """
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        found = _by_callgrind(call, count) if os.environ.get(OUT) else _by_perf(call, count)
    finally:
        if enabled:
            gc.enable()
    return {name: number / count for name, number in found.items()}


# ------------------------------------------------------------------------------------------ perf_event_open


def _opened() -> list[int]:
    """File descriptors of the counters, in the order of EVENTS."""
    number = _SYSCALL.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        raise CountingError(
            f"{PERF}: expected Linux on x86_64 or aarch64, got {platform.system()}, {platform.machine()}"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    found: list[int] = []
    for name in EVENTS:
        attributes = bytearray(128)  # struct perf_event_attr
        struct.pack_into("IIQ", attributes, 0, _HARDWARE, len(attributes), _CONFIG[name])
        struct.pack_into("Q", attributes, 40, _OFF | _NO_KERNEL | _NO_HYPERVISOR | _THREADS)
        buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
        each = libc.syscall(number, buffer, 0, -1, -1, 0)
        if each < 0:
            for other in found:
                os.close(other)
            raise CountingError(f"{PERF}: no {name}: {_reason(ctypes.get_errno())}")
        found.append(each)
    return found


def _reason(number: int) -> str:
    """What an error number of perf_event_open means."""
    import errno

    if number in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        return "this processor, or the virtual machine, has no such counter"
    if number in (errno.EACCES, errno.EPERM):
        return "permission denied: sysctl kernel.perf_event_paranoid=2, or CAP_PERFMON; containers may forbid it"
    if number == errno.ENOSYS:
        return "the system, or the container, has no such call"
    return os.strerror(number)


def _by_perf(call: Callable[[], Any], count: int) -> dict[str, int]:
    import fcntl

    files = _opened()
    try:
        for request in (_RESET, _ENABLE):
            for each in files:
                fcntl.ioctl(each, request, 0)
        for _ in range(count):
            call()
        for each in files:
            fcntl.ioctl(each, _DISABLE, 0)
        return {EVENTS[i]: struct.unpack("Q", os.read(each, 8))[0] for i, each in enumerate(files)}
    finally:
        for each in files:
            os.close(each)


# ------------------------------------------------------------------------------------------------ callgrind

# The request that valgrind recognises in a program (valgrind.h, x86-64): four rotations by 128 bits in all and an
# exchange of a register with itself, which do nothing elsewhere; rax has the address of the request, rdx the answer.
_CODE = bytes.fromhex("4889f831d248c1c70348c1c70d48c1c73d48c1c7334887db4889d0c3")
_TOOL = ord("C") << 24 | ord("T") << 16
_DUMP, _ZERO, _START, _STOP = _TOOL, _TOOL + 1, _TOOL + 4, _TOOL + 5


def command(python: str, out: str) -> list[str]:
    """What runs Python in callgrind, which counts where `counted` says so alone."""
    return [
        # without its server for debuggers, whose pipes stay behind when it is killed
        *("valgrind", "--quiet", "--vgdb=no", "--tool=callgrind", "--cache-sim=yes", "--instr-atstart=no"),
        *(f"--callgrind-out-file={out}", f"--log-file={out}.log", python),
    ]


def _by_callgrind(call: Callable[[], Any], count: int) -> dict[str, int]:
    out = os.environ[OUT]
    call()  # what instrumentation translates at first, and what the caches had of other things
    before = set(glob.glob(f"{glob.escape(out)}.[0-9]*"))
    _request(_START)
    call()
    _request(_ZERO)
    for _ in range(count):
        call()
    _request(_DUMP)
    _request(_STOP)
    dumped = set(glob.glob(f"{glob.escape(out)}.[0-9]*")) - before
    if len(dumped) != 1:
        raise CountingError(f"{CALLGRIND}: expected it to write {out}.N, got {len(dumped)} files")
    with open(dumped.pop(), encoding="utf-8", errors="replace") as file:
        return totals(file.read())


def totals(text: str) -> dict[str, int]:
    """Instructions and misses of the last cache in a file of callgrind.

    Examples
    --------
    >>> totals("events: Ir Dr ILmr DLmr DLmw\\nfn=f\\n1 9 9 9 9 9\\ntotals: 100 40 1 2 3\\n")
    {'instructions': 100, 'cache misses': 6}
    """
    by_name: dict[str, int] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("events:"):
            names = line.split()[1:]
        elif line.startswith(("totals:", "summary:")):
            by_name = {names[i]: int(number) for i, number in enumerate(line.split()[1:])}
    if "Ir" not in by_name:
        raise CountingError(f"{CALLGRIND}: expected a file with events and totals, got none")
    return {INSTRUCTIONS: by_name["Ir"], MISSES: sum(by_name.get(name, 0) for name in ("ILmr", "DLmr", "DLmw"))}


def _request(which: int) -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_CODE)
    arguments = (ctypes.c_uint64 * 6)(which)
    function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    function(ctypes.addressof(arguments))
