"""The kernels of tests/kernels: what the audit says of each, where its library is installed."""

import shutil
from typing import Any

import pytest
from paths import ROOT

from cnnx.audit import Report, audit
from cnnx.audit.contract import load

pytestmark = pytest.mark.once

FOLDER = ROOT / "tests" / "kernels"
CASES = ("plain", "stride", "many channels")


def of(file: str, name: str, needs: str, **options: Any) -> Report:
    for module in needs.split():
        pytest.importorskip(module, reason=f"the example is about {module}")
    (kernels,) = load(f"{FOLDER / file}:{name}").values()
    return audit(backend=kernels, **options)


def words(report: Report) -> str:
    return "\n".join(f"{d.check}: {d.what}" for d in report.discrepancies())


def test_every_example_is_on_a_page() -> None:
    """Those of docs/kernels.md's five are judged here, and all of them isolated in test_contract_isolated.py."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    isolated = (ROOT / "tests" / "audit" / "test_contract_isolated.py").read_text(encoding="utf-8")
    names = [path.name for path in FOLDER.glob("*.py")]
    assert len(names) == 8
    for name in names:
        assert f"tests/kernels/{name}" in text
        assert f'"{name}:' in isolated


def test_numba() -> None:
    report = of("numba_conv.py", "NHWC", "numba", checks=["exact", "bound", "special"], cases=CASES)
    assert report.ok, report.text()


def test_bfloat16_in_numpy() -> None:
    right = of("half_affine.py", "SINGLE", "ml_dtypes", checks=["exact", "bound", "search"])
    assert right.ok, right.text()
    wrong = of("half_affine.py", "SUM", "ml_dtypes", checks=["bound"])
    assert "of the budget" in words(wrong)


def test_scipy() -> None:
    drops = of("scipy_correlate.py", "NDIMAGE", "scipy", checks=["bound", "special"], cases=["plain", "stride 3"])
    assert {d.check for d in drops.discrepancies()} <= {"special"}
    right = of("scipy_correlate.py", "SIGNAL", "scipy", checks=["exact", "bound"], cases=["plain", "stride 3"])
    assert right.ok, right.text()


def test_torch() -> None:
    pytest.importorskip("ml_dtypes", reason="the example is about bfloat16")
    torch = pytest.importorskip("torch", reason="the example is about torch")
    threads = torch.get_num_threads()
    try:
        report = of("torch_block.py", "NHWC", "torch", checks=["bound"], cases=CASES)
    finally:
        torch.set_num_threads(threads)  # the file's one thread would hold for cnnx too, by OpenMP's own number
    assert report.ok, report.text()


def test_c() -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    report = of(
        "c_conv.py", "BLOCKED", "ctypes", checks=["exact", "bound", "special"], cases=["plain", "1x1", "stride 3"]
    )
    assert {d.check for d in report.discrepancies()} == {"special"}  # x > 0 ? x : 0 loses NaN
    assert "expected nan" in words(report)
