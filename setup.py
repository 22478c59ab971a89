"""Builds one extension per cnnx/optimized/*.pyx and instruction set. Metadata stands in pyproject.toml.

The environment decides how:

CNNX_OPENMP      auto (default): with OpenMP if a probe compiles, links and runs, else serial, with a warning;
                 on: with OpenMP, or the build fails; off: serial
CNNX_BUILD_ISA   the instruction sets, separated by commas: on x86-64 some of v2, v3, v4, baseline (what the compiler
                 makes without being told) and best (the highest that this processor has); elsewhere baseline.
                 Default: v2,best. Wheels for others are built with v2,v3,v4.
CNNX_CHECKED     1: kernels that check every index and every integer operation, for tests; 0 (default): they trust
CNNX_SANITIZE    gcc's sanitizers, for tests (tests/sanitize.py). address: kernels that stop at an access outside of an
                 array, or whatever C leaves undefined; thread: at a race; off (default): neither
CNNX_BUILD_JOBS  how many compilers run at once (default: one per processor)

A second build makes what changed: C if a source's text changed, or that of a file which it includes or cimports; an
extension if its C, the flags or the compiler changed. Time stamps do not count: pip installs another copy of
Cython, whose own .pxd files are then new, for every build.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.egg_info import egg_info
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

# Python asks for -fwrapv, which makes an overflow a defined one: without it the sanitizer sees them.
UNDEFINED = ["-fsanitize=undefined,float-cast-overflow", "-fno-wrapv", "-fno-sanitize-recover=all"]
SANITIZERS = {
    "off": [],
    "address": ["-fsanitize=address", *UNDEFINED],
    "thread": ["-fsanitize=thread"],
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

# As cnnx/optimized/runtime/regions.h has it: with gcc and GNU's or LLVM's linker, on Linux, cnnx's own threads compute
# the parallel regions. Two parts here, by one thread.
WRAP_PROBE = """
#include <linux/futex.h>
#include <omp.h>
static int part = 0, parts = 0;
int __wrap_omp_get_thread_num(void) { return part; }
int __wrap_omp_get_num_threads(void) { return parts; }
void __wrap_GOMP_barrier(void) { }
void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
    parts = (int)threads;
    for (part = 0; part < parts; part++) body(data);
}
int main(void) {
    int n = 0, by[2] = {0, 0};
    #pragma omp parallel num_threads(2)
    {
        #pragma omp for schedule(static)
        for (int i = 0; i < 1001; i++) by[omp_get_thread_num()]++;
    }
    for (int i = 0; i < 2; i++) n += by[i];
    return n != 1001 || by[0] != 501 || parts != 2;
}
"""
WRAP = [f"-Wl,--wrap={name}" for name in ("GOMP_parallel", "GOMP_barrier", "omp_get_thread_num", "omp_get_num_threads")]

LEVEL_PROBE = """
#include "cnnx/optimized/cpu_level.h"
int main(void) { return cnnx_level(); }
"""

# A folder of kernels for each; which one is used is decided at run time (cnnx/native.py). gcc takes 256 bits for
# AVX-512 if it may choose.
INSTRUCTION_SETS = {
    "baseline": [],
    "v2": ["-march=x86-64-v2"],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
if not X86_64:
    INSTRUCTION_SETS = {"baseline": []}

OPTIMIZED = Path("cnnx/optimized")
SOURCES = {path.stem: path for path in sorted(OPTIMIZED.glob("*.pyx"))}
CYUTILITY = "_cyutility"  # Cython's own support code, above all its memoryviews; Cython writes it
# Forced inlining is for register blocks: those of affine, conv2d, conv2d_winograd and matmul stand in _microkernels.
# Without, gcc inlines formulas into loops all the same, but not Cython's support code into every entry point: a fifth
# of the time, more than half of conv2d's. max_pool2d would become slower. Where vectors are written out, gcc's own
# vectoriser finds nothing that is faster (cnnx bench --against), and takes up to a quarter of the time. Cython's
# support code needs no more than -O2.
VECTORS_WRITTEN_OUT = ["-fno-tree-vectorize"]
NO_REGISTER_BLOCKS = ["-DCNNX_NO_REGISTER_BLOCKS"]
LOOPS_ALONE = [*NO_REGISTER_BLOCKS, "--param=max-inline-insns-single=70"]  # the latter is what -O2 has
FLAGS = {
    "_limits": NO_REGISTER_BLOCKS,  # Cython 3.1 has a recursive inline function for size_t, which cannot be forced
    "_microkernels": VECTORS_WRITTEN_OUT,
    "_packed": LOOPS_ALONE,
    "activation": NO_REGISTER_BLOCKS,
    "affine": LOOPS_ALONE,
    "avg_pool2d": NO_REGISTER_BLOCKS,
    "conv2d": [*VECTORS_WRITTEN_OUT, *LOOPS_ALONE],
    "conv2d_winograd": [*VECTORS_WRITTEN_OUT, *NO_REGISTER_BLOCKS],
    "matmul": LOOPS_ALONE,
    "max_pool2d": VECTORS_WRITTEN_OUT,
    CYUTILITY: ["-O2"],
}
# What Cython marks so runs once, when a module is loaded: it says `cold` there, if this is not set. setup.py marks what
# looks at arguments for the specialisation of their dtype, a tenth of the time at -O3: the back end chooses one itself,
# once. The specialisations' own way to their arguments is not marked: at -O1 small calls take up to a sixth longer.
DISPATCH = re.compile(
    r"^static (?=PyObject \*(?:__pyx_(?:pw|ff)_|__pyx_pf_\w+\([^)]*__pyx_v_signatures))", re.MULTILINE
)
SELDOM = [
    '-DCYTHON_SMALL_CODE=__attribute__((cold,optimize("O0")))',
    '-DCNNX_DISPATCH=__attribute__((optimize("O0")))',
]
if not X86_64:
    # Elsewhere than on x86-64 gcc moves loads up before it gives out registers: the weights of a whole register block,
    # for which there are no registers, so that sums go to memory and back with every term (gcc 14, AArch64).
    FLAGS["_microkernels"] = [*VECTORS_WRITTEN_OUT, "-fno-schedule-insns"]
ONCE = ("_cpu", "_threads", CYUTILITY)  # not chosen with an instruction set: they count for all, or come before


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


def instruction_sets(compiler):
    """What to build for, lowest first."""
    default = "v2,best" if "v2" in INSTRUCTION_SETS else "best"
    wanted = (os.environ.get("CNNX_BUILD_ISA") or default).split(",")
    allowed = [*INSTRUCTION_SETS, "best"]
    if not set(wanted) <= set(allowed):
        raise OptionError(f"CNNX_BUILD_ISA: expected some of {', '.join(allowed)}, got {','.join(wanted)!r}")
    if "best" in wanted:
        wanted.append(best(compiler))
    return [name for name in INSTRUCTION_SETS if name in wanted]


def best(compiler):
    """The highest instruction set of this processor."""
    level = probed(compiler, LEVEL_PROBE)
    if level is None:
        raise PlatformError(
            "the compiler could not build and run a program that asks the processor for its instruction set; "
            f"name some of {', '.join(INSTRUCTION_SETS)} with CNNX_BUILD_ISA"
        )
    return f"v{level}" if level > 1 else "baseline"


def sanitizers():
    """Flags to compile and to link with. Probes go without: such a program wants addresses that may be taken."""
    return SANITIZERS[setting("CNNX_SANITIZE", "off", SANITIZERS)]


def optimisation():
    """Compiler flags. Never -ffast-math: NaN must survive. Never -march=native: a wheel runs on any processor."""
    # Nobody reads the floating-point exception flags or errno: without them a comparison becomes a vector's mask,
    # and a square root one instruction.
    # A multiply-add is fused where the source says so, or the bits would depend on the compiler and its version.
    flags = ["-O3", "-fno-trapping-math", "-fno-math-errno", "-ffp-contract=off"]
    # Many a Python asks for -g, which makes extensions seven times as large; CFLAGS=-g brings it back.
    if sanitizers():
        return ["-O1", *flags[1:], "-g1", *sanitizers()]
    if kind() == "checked":  # for tests alone: it finds the same, in a good half of the compiler's time
        flags[0] = "-O1"
    return flags if "-g" in os.environ.get("CFLAGS", "").split() else [*flags, "-g0"]


def openmp():
    """Flags that (compile, link) with OpenMP."""
    if sys.platform == "darwin":  # Apple's clang has no -fopenmp of its own, libomp comes from elsewhere; untested
        return ["-Xpreprocessor", "-fopenmp"], ["-lomp"]
    return ["-fopenmp"], ["-fopenmp"]


def probed(compiler, program_text, compile_flags=(), link_flags=()):
    """Compile, link and run a program: what it returns, or None where one of these fails."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "probe.c"), Path(folder, "probe")
        source.write_text(program_text)
        try:
            objects = compiler.compile(
                [str(source)], output_dir=folder, include_dirs=["."], extra_postargs=list(compile_flags)
            )
            compiler.link_executable(objects, str(program), extra_postargs=list(link_flags))
            code = subprocess.run([program], timeout=60).returncode
        except (CompileError, LinkError, OSError, subprocess.TimeoutExpired):
            return None
        return code if code >= 0 else None


def openmp_wanted(compiler):
    """By CNNX_OPENMP and a probe, since a compiler may take the flag and lack header or library."""
    wish = setting("CNNX_OPENMP", "auto", ("auto", "on", "off"))
    if wish == "off" or probed(compiler, PROBE, *openmp()) == 0:
        return wish != "off"
    problem = "the compiler could not build and run a program with OpenMP"
    if wish == "on":
        raise PlatformError(
            f"CNNX_OPENMP=on, but {problem}; install its OpenMP library "
            "(Debian: libgomp1 for gcc, libomp-dev for clang), or build serially with CNNX_OPENMP=off"
        )
    warnings.warn(f"cnnx is built without threads: {problem} (CNNX_OPENMP=on makes this an error)", stacklevel=1)
    return False


def fingerprint(files, *settings):
    """Changes with the settings and with what the files hold."""
    found = hashlib.sha256(repr(settings).encode())
    for path in files:
        found.update(repr((str(path), path.read_bytes())).encode())
    return found.hexdigest()


def same(record, value):
    """Whether a file holds this text."""
    return record.exists() and record.read_text() == value


def kind():
    """What sets a build apart from the one that ships; "" for that."""
    if os.environ.get("CNNX_CHECKED") == "1":
        return "checked"
    if os.environ.get("CNNX_OPENMP") == "off":
        return "serial"
    sanitizer = os.environ.get("CNNX_SANITIZE", "off")
    return "" if sanitizer == "off" else sanitizer


class Build(build):
    """A folder for each kind of build: one does not undo another's work, and they may run side by side."""

    def initialize_options(self):
        super().initialize_options()
        self.build_base = str(Path(self.build_base, kind()))


class EggInfo(egg_info):
    """In the folder of its kind of build too: another one that runs may be writing that of the sources."""

    def initialize_options(self):
        super().initialize_options()
        if kind():
            self.egg_base = str(Path("build", kind()))
            os.makedirs(self.egg_base, exist_ok=True)


class BuildKernels(build_ext):
    """Looks at the compiler that is used before it writes C and compiles it."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or build_jobs()

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            raise PlatformError("cnnx needs gcc or clang, whose vector types its kernels use; got Microsoft's compiler")
        checked = setting("CNNX_CHECKED", "0", ("0", "1"))
        compile_flags, link_flags = openmp() if openmp_wanted(self.compiler) else ([], [])
        flags = optimisation() + SELDOM + compile_flags
        if compile_flags and probed(self.compiler, WRAP_PROBE, compile_flags, link_flags + WRAP) == 0:
            flags.append("-DCNNX_WRAPS_GOMP")
            link_flags = link_flags + WRAP
        link_flags = link_flags + sanitizers()

        sets = instruction_sets(self.compiler)
        self.extensions = [e for e in self.extensions if kernels_of(e)[0] in (None, *sets)]
        # What build_info() and the choice of an instruction set at run time ask for.
        macros = {"_threads": [("CNNX_CHECKED", checked)], "_cpu": [("CNNX_BUILT_FOR", f'"{" ".join(sets)}"')]}
        if not self.inplace:  # a build in place packs nothing: what other instruction sets need there stays
            remove_orphans(Path(self.build_lib), self.extensions)
        with self.folder_of_c() as folder:
            c_files = self.write_c(folder, CHECKED if checked == "1" else DIRECTIVES)
        for extension in self.extensions:
            folder, stem = kernels_of(extension)
            extension.extra_compile_args = flags + INSTRUCTION_SETS.get(folder, []) + FLAGS.get(stem, [])
            extension.extra_link_args = link_flags
            extension.define_macros = macros.get(stem, [])
            extension.include_dirs = ["."]
            # One C file for all instruction sets, in a folder for each, or they would overwrite each other's objects.
            c_file = Path(self.build_temp, folder or "once", f"{stem}.c")
            c_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(c_files[stem], c_file)
            extension.sources = [str(c_file)]
        # What takes longest first, or the last compiler is busy with it while the others have nothing left to do: the
        # micro-kernels, whose loops are unrolled, and then by length.
        self.extensions.sort(
            key=lambda e: (kernels_of(e)[1] == "_microkernels", Path(e.sources[0]).stat().st_size), reverse=True
        )
        command = self.compiler.compiler_so
        self.compiler_version = subprocess.run([*command, "--version"], capture_output=True, check=False).stdout
        super().build_extensions()

    @contextmanager
    def folder_of_c(self):
        """Where C is written, for this process alone: all kinds of builds have the same, but for checked ones."""
        folder = Path(self.build_temp)
        if kind() not in ("", "checked") and folder.parent.name == kind():
            folder = folder.parent.parent / folder.name
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            with suppress(ImportError):  # elsewhere than on POSIX two kinds had better not be built at once
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    def write_c(self, build_dir, directives):
        """The C file of every source, written anew where it is not what Cython would write now."""
        settings = (Cython.__version__, directives, DISPATCH.pattern)
        folder = build_dir / OPTIMIZED
        c_files = {stem: folder / f"{stem}.c" for stem in (*SOURCES, CYUTILITY)}
        records = {stem: folder / f"{stem}.fingerprint" for stem in c_files}
        stale = [
            stem
            for stem, c_file in c_files.items()
            if self.force or not c_file.exists() or not same(records[stem], fingerprint(read_by(c_file), settings))
        ]
        for stem in stale:
            records[stem].unlink(missing_ok=True)
        if stale:
            cythonize(
                [Extension(f"cnnx.optimized.{s}", [SOURCES[s].as_posix()] if s in SOURCES else []) for s in stale],
                shared_utility_qualified_name=f"cnnx.optimized.{CYUTILITY}",
                build_dir=str(build_dir),  # no .c file among the sources, hence none in a wheel
                compiler_directives=directives,
                depfile=True,
                force=True,
                nthreads=self.parallel if self.parallel > 1 else 0,
            )
        for stem in stale:
            text = c_files[stem].read_text(encoding="utf-8")
            c_files[stem].write_text(DISPATCH.sub("static CNNX_DISPATCH ", text), encoding="utf-8")
            records[stem].write_text(fingerprint(read_by(c_files[stem]), settings))
        return c_files

    def build_extension(self, extension):
        """Compile and link, unless that would make what is there."""
        target, c_file = Path(self.get_ext_fullpath(extension.name)), Path(extension.sources[0])
        record = c_file.with_suffix(".fingerprint")
        found = fingerprint(
            [c_file, *sorted(OPTIMIZED.rglob("*.h"))],
            str(target),
            self.compiler_version,
            (self.compiler.compiler_so, extension.extra_compile_args, extension.define_macros),
            (self.compiler.linker_so, extension.extra_link_args),
        )
        if not self.force and target.exists() and same(record, found):
            return
        record.unlink(missing_ok=True)
        target.unlink(missing_ok=True)  # setuptools makes what is missing
        super().build_extension(extension)
        record.write_text(found)

    def copy_extensions_to_source(self):  # an in-place build
        for extension in self.extensions:
            Path(*extension.name.split(".")).parent.mkdir(exist_ok=True)
        super().copy_extensions_to_source()


def read_by(c_file):
    """The project's files that a C file was made of, as Cython noted them; its own .pxd files go with its version."""
    noted = c_file.with_suffix(".c.dep")
    names = noted.read_text().partition(":")[2].split() if noted.exists() else []
    paths = {OPTIMIZED / f"{c_file.stem}.pxd", *map(Path, names)}  # Cython reads that one unasked, once it is there
    return sorted(path for path in paths if path.is_relative_to("cnnx") and path.exists())


def remove_orphans(build_lib, extensions):
    """Delete what an earlier build left and the sources no longer have: setuptools would pack it into the wheel."""
    kept = {extension.name.replace(".", "/") for extension in extensions}
    for built in build_lib.glob("cnnx/**/*.*"):
        source = built.relative_to(build_lib)
        if built.suffix in (".so", ".pyd"):
            wanted = source.with_name(source.name.partition(".")[0]).as_posix() in kept
        else:
            wanted = source.exists()
        if not wanted:
            built.unlink()


def kernels_of(extension):
    """The folder of an extension, None for those that are there once, and its file's stem."""
    *_, folder, stem = extension.name.split(".")
    return None if stem in ONCE else folder, stem


def extensions():
    """One per source and instruction set, all that could be wanted: the processor is asked once there is a compiler."""
    for stem in (*SOURCES, CYUTILITY):
        for folder in [None] if stem in ONCE else INSTRUCTION_SETS:
            name = ".".join(filter(None, ("cnnx.optimized", folder, stem)))
            yield Extension(name, [SOURCES[stem].as_posix()] if stem in SOURCES else [])


if __name__ == "__main__":  # cythonize may start processes that import this file
    setup(ext_modules=list(extensions()), cmdclass={"build": Build, "build_ext": BuildKernels, "egg_info": EggInfo})
