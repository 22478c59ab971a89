"""Who may import whom (`ALLOWED`), by walking the sources; and that kernels, twins and OPS fit together."""

import ast
import doctest
import graphlib
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

import cnnx
from cnnx import backend, native
from cnnx.audit import CHECKS
from cnnx.backend import registry
from cnnx.ops import OPS, optimizer

PACKAGE = Path(cnnx.__file__).parent

# Part of cnnx -> the parts that it may import, apart from itself. "cnnx" is the face, __init__.py: backend and ops.
FACE = {"cnnx", "ops", "backend", "native"}
SHARED = {"_check", "_files", "_text", "lang"}  # below all who use them, and themselves on nothing
LEAF = {*FACE, *SHARED, "nn", "data"}
ALLOWED = {
    "cnnx": {"ops", "backend", "native"},
    "reference": set(),
    "optimized": set(),
    "native": {"reference", "optimized", "_forks", "_processors"},
    "_forks": set(),
    "_processors": set(),
    "backend": {"native", "reference", "optimized"},
    "ops": {"backend", "_check"},
    **{name: set() for name in SHARED},
    "_html": {"_text"},
    "data": {"_check", "_files"},
    "nn": {*FACE, *SHARED, "data"} - {"backend", "native"},
    "adapters": {"backend"},
    "audit": {*FACE, *SHARED, "_html", "nn", "io"},
    "bench": {*FACE, *SHARED, "_html", "nn", "audit"},
    "sklearn": LEAF,
    "plot": LEAF,
    "io": LEAF,
    "experiments": {*LEAF, "plot"},
    "pages": {*LEAF, "_html", "audit"},
    "__main__": {"cli"},
}
NEVER_IMPORTED = {"adapters", "cli", "audit", "bench", "sklearn", "plot", "io", "experiments", "pages", "__main__"}


def part(module):
    """The part of cnnx that a module belongs to: "cnnx.nn.layers" -> "nn"."""
    return module.split(".")[1] if "." in module else module


def name_of(source):
    """The dotted name of a file of the package."""
    parts = ("cnnx", *source.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def absolute(module, source, level):
    """The absolute name of what `source` imports as `module` with `level` leading dots."""
    if not level:
        return module or ""
    parts = name_of(source).split(".")
    parts = parts if source.stem == "__init__" else parts[:-1]
    return ".".join(filter(None, (*parts[: len(parts) - level + 1], module)))


def python_imports(source):
    """What a Python file imports, wherever in it: absolute names, those of modules in full."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node.module, source, node.level)
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "__import__",
            "load",
        ):
            # A name that is put together at run time counts as both kernel packages, which is what backend makes of it.
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value
            elif ast.unparse(node.args[0]).startswith("f'cnnx.{"):
                yield from ("cnnx.reference", "cnnx.optimized")


def cython_imports(source):
    """What a Cython file imports and cimports."""
    text = re.sub(r"\\\n", " ", source.read_text(encoding="utf-8"))
    for module, names in re.findall(r"^\s*from\s+(\S+)\s+c?import\s+(.+)$", text, re.M):
        dots = len(module) - len(module.lstrip("."))
        yield from (f"{absolute(module[dots:], source, dots)}.{name.split()[0]}" for name in names.split(","))
    for names in re.findall(r"^\s*c?import\s+(.+)$", text, re.M):
        yield from (name.split()[0] for name in names.split(","))
    for name in re.findall(r"^\s*include\s+[\"'](.+)[\"']", text, re.M):
        yield absolute(Path(name).stem, source, 1)


def own_imports(source):
    """The parts of cnnx that a file imports."""
    imports = python_imports(source) if source.suffix == ".py" else cython_imports(source)
    for name in imports:
        if name == "cnnx":
            yield "cnnx"
        elif name.startswith("cnnx."):
            found = part(name)
            yield found if is_part(found) else "cnnx"  # `from cnnx import relu` imports the face


def is_part(name):
    return any((PACKAGE / file).exists() for file in (name, f"{name}.py"))


SOURCES = sorted(
    p for pattern in ("*.py", "*.pyx", "*.pxd") for p in PACKAGE.rglob(pattern) if "__pycache__" not in p.parts
)


def test_the_walk_sees_imports():
    """What it must find, or the next test is worth nothing."""
    by_name = {name_of(source): set(own_imports(source)) for source in SOURCES if source.suffix == ".py"}
    assert by_name["cnnx"] == {"ops", "backend", "native"}
    assert by_name["cnnx.backend.registry"] == {"native"}
    assert by_name["cnnx.native"] == {"reference", "optimized", "_forks", "_processors"}
    assert by_name["cnnx.ops.conv2d"] == {"ops", "backend", "_check"}
    assert by_name["cnnx.__main__"] == {"cli"}
    for name in ("nn", "cli", "reference", "optimized"):
        assert any(name_of(source).startswith(f"cnnx.{name}.") for source in SOURCES), name
    conv2d = next(source for source in SOURCES if source.name == "conv2d.pyx")
    assert {"cnnx.optimized.runtime.integers.min_of", "cython.floating"} <= set(cython_imports(conv2d))


@pytest.mark.once
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(PACKAGE).as_posix())
def test_imports(source):
    own = part(name_of(source))
    found = set(own_imports(source)) - {own}
    if own == "cli":  # it may import everything but kernels
        assert not found & {"reference", "optimized"}
        return
    assert own in ALLOWED, f"ALLOWED does not say what {own} may import"
    assert found <= ALLOWED[own]
    if own != "__main__":  # the console script; what may be imported by whom is also said the other way round
        leaves = {"audit": {"io"}, "bench": {"audit"}, "experiments": {"plot"}, "pages": {"audit"}}
        assert not found & (NEVER_IMPORTED - leaves.get(own, set()))


def test_the_architecture_page_has_these_rules():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = page.partition("## Who may import whom\n")[2].partition("\n## ")[0]
    meant = {"face": FACE, "shared": SHARED, "nothing": set()}
    said = {}
    for parts, allowed in re.findall(r"^\| (`.+?`) \| .+ \| (.+?) \|$", table, re.M):
        for name in re.findall(r"\w+", parts):
            said[name] = {part for word in re.findall(r"\w+", allowed) for part in meant.get(word, {word})}
    assert said.pop("cli") == {"all", "but", "reference", "optimized"}
    assert said == ALLOWED


CAPSULES = "cnnx.optimized._microkernels.TABLES", "cnnx.optimized.affine.LAYERS"  # what entry points take of others
# The layers of cnnx/optimized, each of which may use those before it; conv and pool do not know each other.
LAYERS = ("_threads", "runtime", "simd", "microkernel", "pack", "conv", "pool", "", "entry")


def layer(name):
    """The layer of a file or an import of cnnx.optimized: a folder, "" for .pxd files beside the kernels, "entry"."""
    first = name.removeprefix("cnnx.optimized.").split(".")[0]
    if first in LAYERS:
        return first
    return "entry" if (PACKAGE / "optimized" / f"{first}.pyx").exists() else ""


@pytest.mark.once
@pytest.mark.parametrize(
    "source", [s for s in SOURCES if s.suffix != ".py"], ids=lambda source: source.relative_to(PACKAGE).as_posix()
)
def test_kernels_need_nothing_but_c_and_the_layers_below(source):
    own = layer(name_of(source))
    for name in cython_imports(source):
        if name.split(".")[0] in ("cython", "cpython", "libc"):
            continue
        found = layer(name)
        assert name.startswith("cnnx.optimized."), name
        assert LAYERS.index(found) <= LAYERS.index(own), f"{own} may not use {name}, of {found}"
        assert (own, found) != ("pool", "conv"), name
        if found == "entry":
            assert name in CAPSULES, name


def test_loops_of_convolution_have_no_vectors():
    """Those stand in register blocks and in what packs for them."""
    files = sorted((PACKAGE / "optimized" / "conv").glob("*.pxd"))
    assert len(files) > 5
    for file in files:
        code = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
        assert not re.search(r"\b(vector|floats|doubles)\b(?! cimport)", code), file.name


def test_layers_are_complete():
    """Every file is in the page that shows the layers; none is included as text, out of sight of its imports."""
    folder = PACKAGE / "optimized"
    page = (folder / "README.md").read_text(encoding="utf-8")
    files = [f for pattern in ("*.pyx", "*.pxd", "*/*.pxd", "*.h") for f in folder.glob(pattern)]
    assert len(files) > 40
    for file in files:
        assert f"`{file.name}`" in page or f"`{file.relative_to(folder).as_posix()}`" in page, file
        assert not re.search(r"^\s*include ", file.read_text(encoding="utf-8"), re.M), file
    assert not list(folder.rglob("*.pxi"))


def modules_after(statement):
    """The top-level packages that a fresh Python has after a statement, and the parts of cnnx."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    names = done.stdout.split()
    return {name.split(".")[0] for name in names}, {part(name) for name in names if name.startswith("cnnx")}


def test_import_cnnx_is_light():
    """NumPy is the only dependency, and kernels wait until they are wanted."""
    before, _ = modules_after("import numpy")
    packages, parts = modules_after("import cnnx")
    assert {name for name in packages - before if name not in sys.stdlib_module_names} == {"cnnx"}
    assert parts == {"cnnx", "backend", "native", "_forks", "ops", "_check"}


def test_no_module_can_open_a_connection():
    """By itself: data.mnist() without a folder asks scikit-learn to do so."""
    networked = {
        "socket",
        "socketserver",
        "ssl",
        "http",
        "urllib",
        "ftplib",
        "smtplib",
        "xmlrpc",
        "asyncio",
        "requests",
    }
    found = {
        name_of(source): names
        for source in SOURCES
        if source.suffix == ".py" and (names := {name.split(".")[0] for name in python_imports(source)} & networked)
    }
    assert not found


def test_a_back_end_is_loaded_alone():
    statement = "import cnnx, numpy; cnnx.relu(numpy.ones(2), backend={!r})"
    packages, parts = modules_after(statement.format("reference"))
    assert parts == {"cnnx", "backend", "native", "_forks", "ops", "_check", "reference"}
    assert not packages & {"scipy", "sklearn", "matplotlib", "rich"}


# ------------------------------------------------------------------------------------ within a part

# Rooms of the audit from the bottom up: a module imports those of its own room and of the rooms before it.
AUDIT = (
    {"field"},
    {"_signature", "kinds", "data", "trace", "compat", "by_value", "elsewhere", "digest"},
    {"truth"},
    {"known", "sides"},
    {"contract"},
    {"explain"},
    {"figures"},
    {"report"},
    {"repro", "trial", "shrink", "supervise", "pool", "speed"},
    {"spot", "search"},
    {"isolation"},
    {"checks"},
    {"work", "workers", "asked", "run"},
    {"mutants"},
    {"model"},
    {"engines"},
    {"gate", "order", "homework"},
)


def imports_within(folder):
    """By module of a folder of the package, the folder's modules that it imports: within functions too, and those
    for annotations alone."""
    sources = [p for p in folder.rglob("*.py") if "__pycache__" not in p.parts]
    names = {name_of(source) for source in sources}

    def module_of(name):  # of a name within a module, that module
        while name not in names and "." in name:
            name = name.rpartition(".")[0]
        return name

    return {name_of(source): {*map(module_of, python_imports(source))} & names for source in sources}


def test_the_walk_sees_imports_within_a_part():
    audit = imports_within(PACKAGE / "audit")
    assert {"cnnx.audit.truth.exact", "cnnx.audit.trace", "cnnx.audit.data"} <= audit["cnnx.audit.truth.error_bound"]
    assert "cnnx.audit.mutants" in audit["cnnx.audit.mutants.selftest"]
    assert len(audit) > 50


def test_no_circles():
    graphlib.TopologicalSorter(imports_within(PACKAGE)).prepare()


@pytest.mark.parametrize("way_back", ["from ..b import y", "if TYPE_CHECKING:\n    from ..b import y"])
def test_a_circle_is_seen(way_back, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "__init__.py").write_text("def y():\n    from ..a import x\n")
    (tmp_path / "a" / "x.py").write_text(way_back)
    with pytest.raises(graphlib.CycleError, match="cnnx"):
        graphlib.TopologicalSorter(imports_within(tmp_path)).prepare()


def test_rooms_of_the_audit():
    floor = {room: i for i, rooms in enumerate(AUDIT) for room in rooms}
    for module, imported in imports_within(PACKAGE / "audit").items():
        if module != "cnnx.audit":  # its face, which nothing in it imports
            own = module.split(".")[2]
            assert own in floor, f"AUDIT does not say where {own} stands"
            for other in imported:
                assert floor[other.split(".")[2]] <= floor[own], f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_stands_in_the_file_of_its_name(name):
    assert importlib.import_module(f"cnnx.audit.checks.{name}").CHECK is CHECKS[name]


# ------------------------------------------------------------------------------------ kernels and twins

TWINS = sorted({*backend.kernel_names("reference"), *backend.kernel_names("optimized")})
FUNCTIONS = {name: getattr(cnnx, name) for name in cnnx.ops.__all__}


def test_kernels_are_found():
    assert len(TWINS) > 50
    assert backend.kernel_names("reference") == tuple(TWINS)
    assert backend.kernel_names("optimized") == tuple(TWINS)


def test_twins_stand_in_files_of_one_name():
    names = {
        package: {p.stem for p in (PACKAGE / package).glob(pattern) if not p.stem.startswith("_")}
        for package, pattern in (("reference", "*.py"), ("optimized", "*.pyx"))
    }
    assert names["reference"] == names["optimized"]
    for file in names["reference"]:
        ours = importlib.import_module(f"cnnx.reference.{file}")
        theirs = native.kernels(file)
        assert {name for name in TWINS if hasattr(ours, name)} == {name for name in TWINS if hasattr(theirs, name)}


def test_no_kernel_is_lost():
    """A public function of an extension that is no kernel (not fused, say) would be forgotten by everyone."""
    for info in pkgutil.iter_modules([str(PACKAGE / "optimized")]):
        if not info.name.startswith("_") and not info.ispkg:
            module = native.kernels(info.name)
            public = {
                name
                for name, f in vars(module).items()
                if callable(f) and not name.startswith("_") and hasattr(f, "__name__")
            }
            assert public <= set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_twins_have_one_signature(name):
    """Names and kinds: inputs by position, outputs, then numbers by keyword, without defaults."""
    ours, theirs = (
        inspect.signature(registry.kernels_of(b)[name]).parameters.values() for b in ("reference", "optimized")
    )
    assert [(p.name, p.kind) for p in ours] == [(p.name, p.kind) for p in theirs]
    kinds = [p.kind for p in ours]
    assert kinds == sorted(kinds)
    assert set(kinds) <= {0, 1, 3}, "no *args, no **kwargs"
    assert {0, 1} <= set(kinds), "inputs and outputs"
    assert all(p.default is p.empty for p in (*ours, *theirs))
    assert not {"threads", "num_threads"} & {p.name for p in ours}


@pytest.mark.parametrize("name", TWINS)
def test_optimized_kernels_take_both_dtypes(name):
    assert set(registry.kernels_of("optimized")[name].__signatures__) == {"float", "double"}


COMPOSED = {
    "conv2d_grad_bias": ("conv2d", "conv_transpose2d"),
    **dict.fromkeys(("avg_pool2d", "avg_pool2d_grad_input"), ("avg_pool2d", "global_avg_pool2d")),
    **{kernel: ("group_norm", "instance_norm", "layer_norm") for kernel in TWINS if kernel.startswith("group_norm")},
    **dict.fromkeys(
        ("max_pool2d", "max_pool2d_grad_input", "max_pool2d_winners", "max_pool2d_grad_input_winners"),
        ("max_pool2d", "global_max_pool2d"),
    ),
}


def test_every_kernel_belongs_to_one_op():
    """Or to several that are compositions; or to an optimiser, whose steps have nothing to differentiate:
    ops/test_optimizer_kernels.py judges those."""
    named = [*(kernel for op in OPS for kernel in (*op.kernels, *op.frozen_kernels)), *optimizer.KERNELS]
    assert sorted(set(named)) == TWINS
    shared = {kernel for kernel in TWINS if named.count(kernel) > 1}
    assert {kernel: tuple(op.name for op in OPS if kernel in op.kernels) for kernel in shared} == COMPOSED
    assert len({op.name for op in OPS}) == len(OPS)


@pytest.mark.parametrize("name", TWINS)
def test_every_output_has_its_equation(name):
    """One element function for each output, named after it, with the equation in its docstring."""
    elements = backend.equations(name)
    parameters = inspect.signature(registry.kernels_of("reference")[name]).parameters.values()
    assert list(elements) == [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    for output, element in elements.items():
        assert element.__doc__
        assert "=" in element.__doc__ or re.search(r"\b[A-Z]\d+\b", element.__doc__), "the equation, or its number"
        taken = inspect.signature(element).parameters
        assert list(taken)[: len(inputs)] == inputs, f"{element.__name__} of {output}"


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_ops_are_complete(op):
    assert op.forward.__name__ == op.name
    assert op.backward.__name__ == f"{op.name}_backward"
    assert getattr(cnnx, op.name) is op.forward
    assert getattr(cnnx, f"{op.name}_backward") is op.backward
    assert op.summary
    assert op.equations
    assert op.cases
    assert op.bench
    names = [case.name for case in op.cases]
    assert len(set(names)) == len(names)
    forward, backward = (inspect.signature(function).parameters for function in (op.forward, op.backward))
    first = next(iter(backward))
    assert (first == "grad_output") is not op.cost
    assert set(op.linear) <= set(op.differentiable) <= set(forward)
    for case in (*op.cases, *op.bench, *op.large):
        assert set(case.arrays) <= set(forward)
        assert set(case.options) <= {*forward, *backward}
    for key in set(forward) & set(backward):  # the same option has the same meaning in both
        assert forward[key].default == backward[key].default
        assert forward[key].kind is backward[key].kind
    if op.kernels:
        assert forward["backend"].kind is backward["backend"].kind is inspect.Parameter.KEYWORD_ONLY
        assert forward["backend"].default is None


def test_public_names():
    named = [name for op in OPS for name in (op.name, f"{op.name}_backward")]
    others = ["concat", "concat_backward", "conv2d_algorithm"]  # judged by ops/test_concat.py, ops/test_auto.py
    assert list(cnnx.ops.__all__) == [*named, *others]
    assert set(cnnx.__all__) == {*cnnx.ops.__all__, *backend.__all__, *native.__all__}
    assert len(set(cnnx.__all__)) == len(cnnx.__all__)


@pytest.mark.once
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_op_has_a_docstring_with_an_example(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function)  # without its indentation, which Python takes away from 3.13 on
    assert doctest.DocTestParser().get_examples(text), "no example"
    sections = re.findall(r"^(Parameters|Returns|Raises|Examples)\n-+$", text, re.M)
    assert sections == ["Parameters", "Returns", "Raises", "Examples"]
    described = re.search(r"Parameters\n-+\n(.*?)\n\nReturns", text, re.S)[1]
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^(\w+, )*{parameter}\b", described, re.M), f"{parameter} is not described"


@pytest.mark.once
@pytest.mark.parametrize("name", [*backend.__all__, *native.__all__])
def test_every_function_of_the_face_has_a_docstring(name):
    function = getattr(cnnx, name)
    assert function.__doc__
    if inspect.signature(function).parameters:
        assert doctest.DocTestParser().get_examples(function.__doc__), "no example"
