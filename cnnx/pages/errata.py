"""The errata of the sheet's section 6: the equations that each is about, the program that shows it, its tests."""

import inspect
import io
import textwrap
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache

from ..lang import ENGLISH
from . import programs
from .code import Excerpt, test
from .edition import edition
from .sheet import Sheet


@dataclass(frozen=True)
class Erratum:
    """One row. `slug` names its program; its texts are the sheet's, in every language."""

    slug: str
    row: str  # its first column in the sheet
    keys: tuple[str, ...]
    tests_named: tuple[str, ...]

    @property
    def sources(self) -> set[str]:
        """The sources that it is about."""
        return {source for source in ("M17", "W15", "U19", "D19", "CN") if source in self.row}

    @property
    def program(self) -> str:
        """The lines that show it."""
        source = inspect.getsource(getattr(programs, self.slug))
        return textwrap.dedent(source.partition("\n")[2]).rstrip()

    @property
    def result(self) -> str:
        """What they print."""
        return _printed(self.slug)

    @property
    def tests(self) -> list[Excerpt]:
        """Its tests; none outside a clone."""
        return [found for name in self.tests_named if (found := test(name)) is not None]


@cache
def _printed(slug: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        getattr(programs, slug)()
    return out.getvalue().rstrip()


ERRATA = (
    Erratum("m17_table_1", "M17 table 1", ("C2",), ("test_m17_table_1_rows_and_columns",)),
    Erratum("m17_4_6", "M17 (4), (6)", ("C1", "C4"), ("test_m17_4_and_6_one_bias_per_channel",)),
    Erratum(
        "m17_one_over_n",
        "M17 (5), (6), (18), (19)",
        ("C3", "C4", "F2", "E2"),
        ("test_m17_one_over_n_lives_in_the_cost",),
    ),
    Erratum("m17_10_11", "M17 (10), (11)", ("C6",), ("test_m17_10_11_padding",)),
    Erratum("m17_13", "M17 (13)", ("P1",), ("test_m17_13_padding_never_wins", "test_m17_13_p_v")),
    Erratum("ties", "M17 (14), D19 (7), CN (4)", ("P2",), ("test_m17_14_ties",)),
    Erratum("w15_bounds", "W15, backward", ("C5", "C6"), ("test_w15_both_bounds",)),
    Erratum("u19_stride", "U19, stride", ("C2",), ("test_u19_stride_output_size",)),
    Erratum("u19_uij", "U19 u_ij", ("C1",), ("test_u19_uij_offsets",)),
    Erratum("lp", "U19, D19, Lp pooling", ("P4",), ("test_u19_d19_lp_absolute_value",)),
    Erratum("d19_zfk", "D19 Z^Fk_ij", ("C1",), ("test_d19_zfk_weights",)),
    Erratum(
        "d19_sigmoid_twice",
        "D19 (4), (8) and their numbers",
        ("A2", "P2", "F3"),
        ("test_d19_sigmoid_prime_twice", "test_delta_F_as_printed_has_sigmoid_prime_twice"),
    ),
    Erratum("d19_4", "D19 (4)", ("F3",), ("test_d19_4_factor_and_weights",)),
    Erratum("d19_last_slide", "D19, x example, last slide", ("E1",), ("test_d19_x_example_delta_o",)),
    Erratum("d19_output_layer", "D19, x example, output layer", ("F1",), ("test_d19_x_example_weighted_inputs",)),
    Erratum(
        "d19_after",
        "D19, after one update",
        ("E1", "G1"),
        (
            "test_d19_after_one_update_costs",
            "test_d19_after_one_update_weight_sign",
            "test_d19_after_one_update_ct",
        ),
    ),
    Erratum("d19_filter", "D19, filter update", ("C3", "C4"), ("test_d19_filter_update",)),
    Erratum("u19_fc", "U19, fully connected layer", ("F1",), ("test_u19_fully_connected_bias",)),
    Erratum("d19_ct", "D19, C_T", ("E2",), ("test_d19_ct_start",)),
    Erratum("cn_3", "CN (3), R_ij", ("P1", "P3"), ("test_cn_3_windows", "test_cn_3_average_columns")),
    Erratum("cn_1", "CN (1)", ("C2",), ("test_cn_1_floor",)),
    Erratum("cn_epoch", "CN `train(epoch=10000)`", ("G1",), ("test_cn_epochs",)),
)


@dataclass(frozen=True)
class Told:
    """An erratum in a language."""

    slug: str
    where: str
    printed: str
    here: str
    program: str
    result: str
    tests: list[Excerpt]


def told(lang: str, *, key: str = "", source: str = "") -> list[Told]:
    """The errata about an equation or of a source, in a language; without either all of them."""
    return [_told(one, lang) for one in ERRATA if key in one.keys or source in one.sources or not (key or source)]


@cache
def _told(one: Erratum, lang: str) -> Told:
    where, printed, here = _rows(lang)[one.row]
    return Told(one.slug.replace("_", "-"), where, printed, here, one.program, one.result, one.tests)


@cache
def _rows(lang: str) -> dict[str, list[str]]:
    """The sheet's rows in a language, by their first column in English."""
    pairs = zip(Sheet(edition(ENGLISH)).errata(), Sheet(edition(lang)).errata(), strict=True)
    return {row[0]: [_plain(cell) for cell in cells] for row, cells in pairs}


def _plain(cell: str) -> str:
    """A cell of a table without Markdown's marks."""
    return cell.replace("\\|", "|").replace("`", "")
