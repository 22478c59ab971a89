"""The equation sheet that comes with the package: it defines what the code cites, and each erratum has its test."""

import importlib.resources
import re

import pytest
import test_errata as errata
import test_errata_d19 as errata_d19
import test_ox as ox_figures

import cnnx.ops

pytestmark = pytest.mark.once

SHEET = importlib.resources.files("cnnx").joinpath("equations.md").read_text(encoding="utf-8")
KEYS = ["C1", "C2", "C3", "C4", "C5", "C6", "W1", "W2", "W3", "A1", "A2", "P1", "P2", "P3", "P4"]
KEYS += ["F1", "F2", "F3", "E1", "E2", "E3", "G1", "G2", "G3"]

# The first column of section 6 and the tests that show what stands there.
TESTS = {
    "M17 table 1": [errata.test_m17_table_1_rows_and_columns],
    "M17 (4), (6)": [errata.test_m17_4_and_6_one_bias_per_channel],
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


@pytest.mark.parametrize("key", KEYS)
def test_sheet_defines(key):
    assert re.search(rf"^    {key}  \S", SHEET, re.MULTILINE)


def test_sheet_names_its_sources():
    table = SHEET.split("\n## Symbols")[0]
    assert re.findall(r"^\| ([A-Z]+\d*) \|", table, re.MULTILINE) == ["W15", "M17", "U19", "D19", "CN"]


@pytest.mark.parametrize("op", cnnx.ops.OPS, ids=lambda op: op.name)
def test_sheet_holds_the_ops_equations(op):
    """`equations` of an op: "C1-C6", "P1, P2", "section 4", "M17 2.5"."""
    cited = re.findall(r"\b([A-Z]\d)\b", op.equations)
    for number in re.findall(r"section (\d)", op.equations):
        assert op.name.split("_")[0] in section(number)
    assert set(cited) <= set(KEYS)
    assert f"`{op.name}`" in SHEET


def test_every_erratum_has_its_test():
    rows = re.findall(r"^\| (.+?) \| ", section(6), re.MULTILINE)
    assert rows[:2] == ["where", "---"]
    assert rows[2:] == list(TESTS)


def test_sheet_stands_alone():
    """It goes into a wheel: nothing on the machine it was written on, no file that does not come with it."""
    assert not re.search(r"\.\./|(?<![\w`])/\w+/|\.txt\b", SHEET)
