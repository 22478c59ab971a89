"""Run pytest with kernels that a sanitizer watches: python tests/sanitize.py address|thread [pytest's arguments]

They have to be built so: CNNX_SANITIZE=address (or thread) for `setup.py build_ext --inplace` or pip; `tox -e asan` and
`tox -e tsan` do it. What a sanitizer finds ends the process that it is in. Python is the usual one, hence the
sanitizer's library is loaded before it. It is gcc's: gcc's builds have the threads that ship (`runtime/team.h`),
clang's have OpenMP's own.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SETTINGS = {
    "address": {
        # Python keeps much until its end, which counts as leaks. Memory that is not there is for cnnx to name.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:allow_user_segv_handler=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # Python's own allocator would hide where its objects end
    },
    # Accesses of Python and NumPy are seen where they go through the C library, and what orders them is not.
    "thread": {
        "TSAN_OPTIONS": "halt_on_error=1:allocator_may_return_null=1:die_after_fork=0:ignore_noninstrumented_modules=1:"
        f"suppressions={Path(__file__).with_name('races.txt')}"
    },
}


def libraries(sanitizer):
    """What has to be loaded first, by the compiler that built the kernels: its errors' words need C++'s library."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))[0]
    names = {"address": "libasan.so", "thread": "libtsan.so"}[sanitizer], "libstdc++.so.6"
    found = [subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip() for name in names]
    if not all(map(os.path.isabs, found)):
        raise SystemExit(f"{compiler} has no {names[0]}: expected gcc with its sanitizers")
    return ":".join(found)


def main(sanitizer, *arguments):
    # Captured by sys alone: what a sanitizer writes before it ends the process would be lost with it.
    command = [sys.executable, "-m", "pytest", "--capture=sys", "-m", "not once and not bare", *arguments]
    if sanitizer == "thread" and shutil.which("setarch"):  # it wants addresses where it looks for them
        command = ["setarch", "-R", *command]
    environment = {"LD_PRELOAD": libraries(sanitizer), "CNNX_TEST_BUILD": sanitizer} | SETTINGS[sanitizer]
    os.execvpe(command[0], command, os.environ | environment)


if __name__ == "__main__":
    if sys.argv[1:2] not in (["address"], ["thread"]):
        raise SystemExit(__doc__.splitlines()[0])
    main(*sys.argv[1:])
