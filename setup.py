"""Builds one extension per cnnx/optimized/*.pyx and instruction set. Metadata stands in pyproject.toml.

The environment decides how:

CNNX_OPENMP      auto (default): with OpenMP if a probe compiles, links and runs, else serial, with a warning;
                 on: with OpenMP, or the build fails; off: serial
CNNX_BUILD_ISA   the instruction sets, separated by commas: v2, v3 and v4 on x86-64 (default: all three), or baseline,
                 which is what the compiler makes without being told (default elsewhere)
CNNX_CHECKED     1: kernels that check every index and every integer operation, for tests; 0 (default): they trust
CNNX_BUILD_JOBS  how many compilers run at once (default: one per processor)
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, OptionError, PlatformError

DIRECTIVES = {
    "language_level": 3,
    "binding": True,  # kernels have signatures, which a test holds against the reference's
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}
# wraparound stays False: a negative index is then an error instead of an element from the end. cdivision stays
# True, or a checked kernel would compute something else than the shipped one: // would round to the other side,
# and x / 0.0, which is inf in the equations, would raise. An integer division by zero traps in either build.
# initializedcheck stays False and there is no nonecheck: a kernel's memoryviews are its arguments, always there, and
# Cython 3.3 fails on a check within prange(num_threads=...), "invalid entry to OpenMP structured block". That holds
# for overflowcheck too: arithmetic for num_threads belongs in a line before.
CHECKED = DIRECTIVES | {
    "boundscheck": True,
    "overflowcheck": True,
    "show_performance_hints": False,  # one for every index, to leave the checks out
}

PROBE = """
#include <omp.h>
int main(void) {
    int n = 0;
    #pragma omp parallel for reduction(+:n)
    for (int i = 0; i < 1000; i++) n += omp_get_num_threads() > 0;
    return n != 1000;
}
"""


# As cnnx/optimized/_threads.pxd has it: with gcc and GNU's or LLVM's linker a region of one thread can be a call.
WRAP_PROBE = """
#include <omp.h>
static int calls = 0;
extern void __real_GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
    calls++;
    if (threads == 1) body(data); else __real_GOMP_parallel(body, data, threads, flags);
}
int main(void) {
    int n = 0;
    for (int threads = 1; threads < 3; threads++) {
        #pragma omp parallel for reduction(+:n) num_threads(threads)
        for (int i = 0; i < 1000; i++) n++;
    }
    return n != 2000 || calls != 2;
}
"""
WRAP = ["-Wl,--wrap=GOMP_parallel"]


# A folder of kernels for each; which one is used is decided at run time (cnnx/native.py). gcc takes 256 bits for
# AVX-512 if it may choose.
INSTRUCTION_SETS = {
    "baseline": [],
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


def setting(name, default, allowed):
    """The environment's `name`, which has to be one of `allowed`."""
    value = os.environ.get(name) or default
    if value not in allowed:
        raise OptionError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
    return value


def build_jobs():
    """How many compilers may run at once."""
    value = os.environ.get("CNNX_BUILD_JOBS") or str(os.cpu_count() or 1)
    if not value.isdecimal() or int(value) < 1:
        raise OptionError(f"CNNX_BUILD_JOBS: expected an integer of at least 1, got {value!r}")
    return int(value)


def instruction_sets():
    """What to build for."""
    on_x86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
    allowed = list(INSTRUCTION_SETS) if on_x86 else ["baseline"]
    wanted = (os.environ.get("CNNX_BUILD_ISA") or ("v2,v3,v4" if on_x86 else "baseline")).split(",")
    if not set(wanted) <= set(allowed):
        raise OptionError(f"CNNX_BUILD_ISA: expected some of {', '.join(allowed)}, got {','.join(wanted)!r}")
    return [name for name in allowed if name in wanted]


def optimisation():
    """Compiler flags. Never -ffast-math: NaN must survive. Never -march=native: a wheel runs on any processor."""
    # Nobody reads the floating-point exception flags or errno: without them a comparison becomes a vector's mask,
    # and a square root one instruction.
    flags = ["-O3", "-fno-trapping-math", "-fno-math-errno"]
    # Many a Python asks for -g, which makes extensions seven times as large; CFLAGS=-g brings it back.
    return flags if "-g" in os.environ.get("CFLAGS", "").split() else [*flags, "-g0"]


def openmp():
    """Flags that (compile, link) with OpenMP."""
    if sys.platform == "darwin":  # Apple's clang has no -fopenmp of its own, libomp comes from elsewhere; untested
        return ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
    return ["-fopenmp"], ["-fopenmp"]


def openmp_works(compiler, probe=PROBE, link_flags_too=()):
    """Compile, link and run a program, since a compiler may take the flag and lack header or library."""
    compile_flags, link_flags = openmp()
    link_flags = [*link_flags, *link_flags_too]
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "probe.c"), Path(folder, "probe")
        source.write_text(probe)
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
            compiler.link_executable(objects, str(program), extra_postargs=link_flags)
            return subprocess.run([program], timeout=60).returncode == 0
        except (CompileError, LinkError, OSError, subprocess.TimeoutExpired):
            return False


def openmp_wanted(compiler):
    """Whether to build with OpenMP, by CNNX_OPENMP and the probe."""
    wish = setting("CNNX_OPENMP", "auto", ("auto", "on", "off"))
    if wish == "off" or openmp_works(compiler):
        return wish != "off"
    problem = "the compiler could not build and run a program with OpenMP"
    if wish == "on":
        raise PlatformError(
            f"CNNX_OPENMP=on, but {problem}; install its OpenMP library "
            "(Debian: libgomp1 for gcc, libomp-dev for clang), or build serially with CNNX_OPENMP=off"
        )
    warnings.warn(f"cnnx is built without threads: {problem} (CNNX_OPENMP=on makes this an error)", stacklevel=1)
    return False


class BuildKernels(build_ext):
    """Looks at the compiler that is used before it writes C and compiles it."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or build_jobs()

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            raise PlatformError("cnnx needs gcc or clang, whose vector types its kernels use; got Microsoft's compiler")
        checked = setting("CNNX_CHECKED", "0", ("0", "1"))
        directives = CHECKED if checked == "1" else DIRECTIVES
        compile_flags, link_flags = openmp() if openmp_wanted(self.compiler) else ([], [])
        flags = optimisation() + compile_flags
        if compile_flags and openmp_works(self.compiler, WRAP_PROBE, WRAP):
            flags.append("-DCNNX_WRAPS_GOMP")
            link_flags = link_flags + WRAP

        remove_orphans(Path(self.build_lib))
        # Time stamps alone would take the files of a build with other settings for up to date.
        settings = repr((directives, flags, instruction_sets(), getattr(self.compiler, "compiler_so", None)))
        stamp = Path(self.build_temp, "settings")
        self.force = self.force or not stamp.exists() or stamp.read_text() != settings
        stamp.unlink(missing_ok=True)
        written = cythonize(
            [
                Extension(CYUTILITY, []),
                *(Extension(f"cnnx.optimized.{path.stem}", [path.as_posix()]) for path in SOURCES),
            ],
            shared_utility_qualified_name=CYUTILITY,
            build_dir=self.build_temp,  # no .c file among the sources, hence none in a wheel
            compiler_directives=directives,
            force=self.force,
            nthreads=self.parallel if self.parallel > 1 else 0,
        )
        c_files = {Path(with_c.sources[0]).stem: with_c.sources[0] for with_c in written}
        for extension in self.extensions:
            *_, folder, stem = extension.name.split(".")
            extension.extra_compile_args = flags + INSTRUCTION_SETS.get(folder, [])
            extension.extra_link_args = link_flags
            # Tells build_info() and the choice of an instruction set at run time.
            extension.define_macros = [
                ("CNNX_CHECKED", checked),
                ("CNNX_BUILT_FOR", f'"{" ".join(instruction_sets())}"'),
            ]
            # One C file for all instruction sets, in a folder for each, or they would overwrite each other's objects.
            c_file = Path(self.build_temp, folder, f"{stem}.c")
            c_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(c_files[stem], c_file)
            extension.sources = [str(c_file)]
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(settings)

    def copy_extensions_to_source(self):  # an in-place build
        for name in instruction_sets():
            Path("cnnx/optimized", name).mkdir(exist_ok=True)
        super().copy_extensions_to_source()


def remove_orphans(build_lib):
    """Delete what an earlier build left and the sources no longer have: setuptools would pack it into the wheel."""
    kept = {name.replace(".", "/") for name in extension_names()}
    for built in build_lib.glob("cnnx/**/*.*"):
        source = built.relative_to(build_lib)
        if built.suffix in (".so", ".pyd"):
            wanted = source.with_name(source.name.partition(".")[0]).as_posix() in kept
        else:
            wanted = source.exists()
        if not wanted:
            built.unlink()


SOURCES = sorted(Path("cnnx/optimized").glob("*.pyx"))
CYUTILITY = "cnnx.optimized._cyutility"  # Cython's own support code, above all its memoryviews; Cython writes it
ONCE = ("_cpu", "_threads")  # one for the process: they run before an instruction set is chosen, or count for all


def extension_names():
    """One extension per source and instruction set, and Cython's support code."""
    yield CYUTILITY
    for source in SOURCES:
        for folder in [None] if source.stem in ONCE else instruction_sets():
            yield ".".join(filter(None, ("cnnx.optimized", folder, source.stem)))


if __name__ == "__main__":  # cythonize may start processes that import this file
    try:
        names = list(extension_names())
    except OptionError as error:  # setup() would say it so
        raise SystemExit(f"error: {error}") from None
    setup(
        ext_modules=[
            Extension(name, [f"cnnx/optimized/{name.rpartition('.')[2]}.pyx"] if name != CYUTILITY else [])
            for name in names
        ],
        cmdclass={"build_ext": BuildKernels},
    )
