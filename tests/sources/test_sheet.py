"""The equation sheet that comes with the package: it defines what the code cites, each equation stands in the
reference, the kernels and the tests, and each erratum has its test.
"""

import importlib.resources
import re
from pathlib import Path

import pytest
import test_errata as errata
import test_errata_d19 as errata_d19
import test_m17 as m17
import test_ox as ox_figures

import cnnx
from cnnx import backend
from cnnx.ops import OPS, optimizer
from cnnx.pages import places as _places

pytestmark = pytest.mark.once

SHEET = importlib.resources.files("cnnx").joinpath("equations.md").read_text(encoding="utf-8")
KEYS = list(dict.fromkeys(re.findall(r"^    ([A-Z]\d)  \S", SHEET, re.MULTILINE)))
KERNELS = backend.kernel_names("reference")

# The first column of section 6 and the tests that show what stands there.
TESTS = {
    "M17 table 1": [errata.test_m17_table_1_rows_and_columns],
    "M17 (4), (6)": [errata.test_m17_4_and_6_one_bias_per_channel],
    "M17 (5), (6), (18), (19)": [m17.test_m17_one_over_n_lives_in_the_cost],
    "M17 (10), (11)": [errata.test_m17_10_11_padding],
    "M17 (13)": [errata.test_m17_13_padding_never_wins, errata.test_m17_13_p_v],
    "M17 (14), D19 (7), CN (4)": [errata.test_m17_14_ties],
    "W15, backward": [errata.test_w15_both_bounds],
    "U19, stride": [errata.test_u19_stride_output_size],
    "U19 u_ij": [errata.test_u19_uij_offsets],
    "U19, D19, Lp pooling": [errata.test_u19_d19_lp_absolute_value],
    "D19 Z^Fk_ij": [errata_d19.test_d19_zfk_weights],
    "D19 (4), (8) and their numbers": [
        errata_d19.test_d19_sigmoid_prime_twice,
        errata_d19.test_d19_4_factor_and_weights,
        ox_figures.test_delta_F_as_printed_has_sigmoid_prime_twice,
    ],
    "D19 (4)": [errata_d19.test_d19_4_factor_and_weights],
    "D19, x example, last slide": [errata_d19.test_d19_x_example_delta_o],
    "D19, x example, output layer": [errata_d19.test_d19_x_example_weighted_inputs],
    "D19, after one update": [
        errata_d19.test_d19_after_one_update_costs,
        errata_d19.test_d19_after_one_update_weight_sign,
        errata_d19.test_d19_after_one_update_ct,
    ],
    "D19, filter update": [errata_d19.test_d19_filter_update],
    "U19, fully connected layer": [errata.test_u19_fully_connected_bias],
    "D19, C_T": [errata_d19.test_d19_ct_start],
    "CN (3), R_ij": [errata.test_cn_3_windows, errata.test_cn_3_average_columns],
    "CN (1)": [errata.test_cn_1_floor],
    "CN `train(epoch=10000)`": [errata.test_cn_epochs],
}


def section(number):
    return SHEET.split(f"\n## {number} ")[1].split("\n## ")[0]


def test_keys_are_those_of_the_ops_and_the_optimizers():
    of_ops = set().union(*(_places.cited(op.equations) for op in OPS))
    assert set(KEYS) == of_ops | _places.cited(optimizer.__doc__)
    assert {"C1", "W3", "A4", "P4", "F3", "D1", "N5", "E3", "G4"} <= set(KEYS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_output_of_a_kernel_cites_its_equation(kernel):
    for output, element in backend.equations(kernel).items():
        cited = _places.cited(element.__doc__)
        assert cited, output
        assert cited <= set(KEYS), output


@pytest.mark.parametrize("key", KEYS)
def test_every_equation_stands_in_the_code_and_in_the_tests(key):
    found = _places.found(key)
    for path, line in found["reference"]:
        assert re.match(r" *def \w+\(", text_of(path)[line - 1])
    assert found["reference"]
    assert found["optimized"] or key in ("C2", "T4")  # outputs come with their extents, which ops/ computes
    assert found["ops"] or key in ("A1", "A2")  # whose docstrings are written when ops/ is imported
    assert found["tests"]


@pytest.mark.parametrize(
    ("folder", "pattern", "said"),
    [
        ("reference", "*.py", _places.functions),
        ("optimized", "*.p[yx][xd]", _places.comments),
        ("ops", "*.py", _places.functions),
    ],
)
def test_the_code_cites_what_the_sheet_has(folder, pattern, said):
    cited = set()
    for path in (_places.ROOT / "cnnx" / folder).rglob(pattern):
        for line, words, _ in said(path.read_text(encoding="utf-8")):
            assert _places.cited(words) <= set(KEYS), f"{path}:{line}"
            cited |= _places.cited(words)
    assert len(cited) > 20


def test_every_kernel_stands_at_its_line():
    stands = {}
    for key in KEYS:
        stands |= {name: place for place, name in _places.twins(key).items()}
    assert sorted(stands) == list(KERNELS)
    for name, (path, line) in stands.items():
        assert text_of(path)[line - 1].startswith(f"def {name}(")


def text_of(path):
    return (Path(cnnx.__file__).parent.parent / path).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("C1: M17 (4), D19, CN (2)", {"C1"}),
        ("C1, C3-C6", {"C1", "C3", "C4", "C5", "C6"}),
        ("G1 to G3 and E2", {"G1", "G2", "G3", "E2"}),
        ("from F1 to the next; W15, x_C1, AC1, C10", {"F1"}),
        ("", set()),
        (None, set()),
    ],
)
def test_citations(text, keys):
    assert _places.cited(text) == keys


def test_sheet_names_its_sources():
    table = SHEET.split("\n## Symbols")[0]
    assert re.findall(r"^\| ([A-Z]+\d*) \|", table, re.MULTILINE) == ["W15", "M17", "U19", "D19", "CN"]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_sheet_holds_the_ops_equations(op):
    cited = _places.cited(op.equations)
    assert cited <= set(KEYS)
    assert cited or op.equations == "M17 2.5"  # flatten, which has no kernel
    for kernel in (*op.kernels, *op.frozen_kernels):
        assert set().union(*(_places.cited(e.__doc__) for e in backend.equations(kernel).values())) <= cited
    assert f"`{op.name}`" in SHEET


def test_every_erratum_has_its_test():
    rows = re.findall(r"^\| (.+?) \| ", section(6), re.MULTILINE)
    assert rows[:2] == ["where", "---"]
    assert rows[2:] == list(TESTS)


def test_sheet_stands_alone():
    """It goes into a wheel: nothing on the machine it was written on, no file that does not come with it."""
    assert not re.search(r"\.\./|(?<![\w`])/\w+/|\.txt\b", SHEET)
