"""The pages are true: README and docs, the op table, the examples, the commands, what is said of the audit, links."""

import ast
import builtins
import doctest
import re
import tomllib

import pytest
from paths import ROOT

import cnnx
from cnnx.audit import CHECKS
from cnnx.ops import OPS
from cnnx.ops.__main__ import MARKS, table
from cnnx.pages import places as _places

pytestmark = pytest.mark.once

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
PAGES["README.md"] = README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = [name for name, text in PAGES.items() if ">>> " in text]


def test_op_table_is_current() -> None:
    begin, end = MARKS
    shown = PAGES["docs/ops.md"].partition(begin)[2].partition(end)[0].strip()
    assert shown == table(), "the op table of docs/ops.md is not what `python -m cnnx.ops` prints"


def test_readme_is_short_and_names_every_op_and_page() -> None:
    assert README.count("\n") < 350
    for op in OPS:
        assert f"`{op.name}`" in README
    for name in PAGES:
        assert name == "README.md" or f"({name})" in README, name


def test_pages_with_examples() -> None:
    assert {"README.md", *(f"docs/{name}.md" for name in ("audit", "kernels", "networks", "ops", "sklearn"))} <= {
        *EXAMPLES
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    if "cnnx.sklearn" in PAGES[name]:
        pytest.importorskip("sklearn", reason="the example is an estimator")
    test = doctest.DocTestParser().get_doctest(PAGES[name], {}, name, name, 0)
    assert len(test.examples) >= 3
    report: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def test_code_blocks_import_what_they_use() -> None:
    found = [block for text in PAGES.values() for block in re.findall(r"```python\n([^>].*?)```", text, re.S)]
    blocks = [ast.parse(block) for block in found]
    assert len(blocks) >= 3
    for block in blocks:
        names = [node for node in ast.walk(block) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(dir(builtins))
        imports = [node for node in ast.walk(block) if isinstance(node, (ast.Import, ast.ImportFrom))]
        bound |= {alias.asname or alias.name for node in imports for alias in node.names}
        assert {node.id for node in names} <= bound, ast.unparse(block)


def test_where_an_equation_stands() -> None:
    """What the command prints, but for line numbers and folders."""
    shown = PAGES["docs/equations.md"].partition("\nWhere N5 stands, below ")[2].partition("```")[0].splitlines()[1:]
    printed = list(_places.places("N5"))[1:]
    assert [_numberless(line) for line in shown] == [
        _numberless(line) for line in printed if "tests are those of the clone" not in line
    ]


def _numberless(line: str) -> str:
    return re.sub(r":\d+ +", ":", re.sub(r"tests/(\w+/)+", "tests/", line))


def test_commands_stand_as_ci_runs_them() -> None:
    expected = ["python -m pip install . && cnnx audit", "python -m pip install tox && python -m tox"]
    for name in ("README.md", "docs/install.md"):
        commands = re.findall(r"```sh\n(.*?)\n```", PAGES[name], re.S)
        assert commands == expected, name
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_tox_environments_are_named() -> None:
    tox = (ROOT / "tox.ini").read_text()
    names = re.search(r"^env_list = (.*)$", tox, re.M)
    assert names is not None
    for name in (*names[1].split(", "), *re.findall(r"^\[testenv:([a-z][\w-]*)\]$", tox, re.M)):
        assert any(f"`{name}`" in text or f"-e {name}" in text for text in PAGES.values()), name


def test_extras_are_named() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in extras:
        assert f"`{name}`" in PAGES["docs/install.md"], name


def test_audit_output_has_every_op_and_check() -> None:
    output = PAGES["docs/audit.md"].partition("$ cnnx audit\n")[2].partition("```")[0]
    header = next(line for line in output.splitlines() if line.startswith("op "))
    assert header.split() == ["op", *CHECKS, "budget", "speed-up"]
    rows = [line.split()[0] for line in output.splitlines()[3:] if re.match(r"\w+ +[\d-]", line)]
    assert rows[: len(OPS)] == [op.name for op in OPS]
    assert f"{len(OPS)} ops: all agree" in output
    shown = README.partition("$ cnnx audit\n")[2].partition("```")[0].splitlines()
    beginning, dots, end = (part.strip() for part in "\n".join(shown).partition("\n...\n"))
    assert dots
    assert output.startswith(beginning)
    assert output.strip().endswith(end)
    assert len(shown) > len(OPS)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        path, _, heading = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists() or re.match("https?:", link), link
        if heading:
            headings = re.findall(r"^##+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, link


ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NAMED = sorted({*re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|pyx|pxd|md)))`", ARCHITECTURE)})


def test_the_architecture_page_names_files() -> None:
    assert {"setup.py", "cnnx/ops/", "cnnx/optimized/conv2d.pyx", "cnnx/equations.md"} <= set(NAMED)
    assert "cnnx.backends" not in NAMED


@pytest.mark.parametrize("path", [*NAMED, *re.findall(r"\]\(([^)]+)\)", ARCHITECTURE)])
def test_the_architecture_page_names_what_is_there(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("path", re.findall(r"`(\w+/test_\w+\.py)`", (ROOT / "tests" / "README.md").read_text()))
def test_the_tests_readme_names_files_that_are_there(path: str) -> None:
    assert (ROOT / "tests" / path).is_file()


def test_changelog_names_this_version_and_every_op() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{cnnx.__version__}]" in changelog
    for op in OPS:
        assert op.name in changelog
