"""The reference's element functions on numbers that do not round and on symbols.

On fractions an equation has one right result, worked out by hand here; on symbols a forward equation can be
differentiated, and its backward equation has to be that derivative, term by term.
"""

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
import sympy

from cnnx import backend

pytestmark = pytest.mark.once


def fractions(numbers, *shape):
    return np.array([Fraction(number) for number in numbers.split()], dtype=object).reshape(shape)


class Base2:
    """exp and log to base 2, which keep whole numbers rational, and roots of squares."""

    @staticmethod
    def exp(x):
        assert x == int(x)
        return Fraction(2) ** int(x)

    @staticmethod
    def expm1(x):
        return Base2.exp(x) - 1

    @staticmethod
    def log(x):
        power = x.numerator.bit_length() - x.denominator.bit_length()
        assert Fraction(2) ** power == x
        return Fraction(power)

    @staticmethod
    def log1p(x):
        return Base2.log(1 + x)

    @staticmethod
    def sqrt(x):
        root = Fraction(isqrt(x.numerator), isqrt(x.denominator))
        assert root * root == x
        return root

    @staticmethod
    def pow(x, exponent):
        return Base2.sqrt(x) if exponent == Fraction(1, 2) else x ** int(exponent)


# Convolution: an image of 2 x 3 under a kernel of 2 x 2 gives one row of two.
Z = fractions("1/2 1/3 1/7  1/4 1/5 1/9", 1, 1, 2, 3)
F = fractions("2/3 3/5  4/7 5/2", 1, 1, 2, 2)
b = fractions("1/6", 1)
Delta = fractions("3/7 -2/5", 1, 1, 1, 2)
PLAIN = dict(u=1, v=1, p_h=0, p_w=0, d_h=1, d_w=1, groups=1)

# Pooling: one window of 2 x 2, and the same at a stride of 2 with a border of 1, where each window holds one pixel.
square = fractions("1/3 1/2  1/4 1/5", 1, 1, 2, 2)
WINDOW = dict(R=2, S=2, u=2, v=2, p_h=0, p_w=0)
BORDER = WINDOW | dict(p_h=1, p_w=1)
NO_PAD = dict(p_b=0, p_r=0, include_pad=0)
WITH_PAD = dict(p_b=1, p_r=1, include_pad=1)
one_delta = fractions("3/7", 1, 1, 1, 1)
four_deltas = fractions("3/7 -2/5 1/3 1/2", 1, 1, 2, 2)
signed = fractions("-1/5 7/5", 1, 1, 1, 2)

# Resizing: output rows at 0, 2/5, 4/5, ..., columns at 0, 1/3, 2/3, ...
RESIZED = dict(A_h=2, B_h=0, D_h=5, A_w=1, B_w=0, D_w=3)
TWO_BY_THREE = dict(H=2, W=3)
PAIR = dict(R=1, S=2, u=1, v=2, p_h=0, p_w=0, rho=Fraction(2), m=Base2)

# A parametric ReLU of two channels, the second below 0
slanted, slanted_deltas, slopes = (
    fractions("1/2 -1/3", 1, 2, 1),
    fractions("3/7 -2/5", 1, 2, 1),
    fractions("1/5 2/7", 2),
)

# Affine
z, w = fractions("1/2 1/3", 1, 2), fractions("2/3 3/5  1/4 7", 2, 2)
two, deltas = fractions("1/2 1/3", 2, 1), fractions("3/7 -2/5", 2, 1)
row_deltas = fractions("3/7 -2/5", 1, 2)
pair = fractions("3/7 -2/5  1/2 1/3", 2, 1, 2)  # a stack of two rows

# Batch normalisation of 1/2 and 3/2: mean 1, variance 1/4, and with eps = 5/16 a deviation of 3/4, so Zh = -2/3, 2/3.
members, mean, var = fractions("1/2 3/2", 2, 1, 1, 1), fractions("1", 1), fractions("1/4", 1)
member_deltas, gain, shift = fractions("3/7 -2/5", 2, 1, 1, 1), fractions("3/5", 1), fractions("1/7", 1)
ROOT = dict(eps=Fraction(5, 16), m=Base2)

# The same as a set of two channels of one place, each with a gain and a bias.
set_members, set_deltas = fractions("1/2 3/2", 1, 1, 2, 1), fractions("3/7 -2/5", 1, 1, 2, 1)
set_mean, set_var, sum_e, sum_f = (fractions(one, 1, 1) for one in ("1", "1/4", "2/35", "-32/105"))
set_gains, set_shifts = fractions("3/5 1/2", 1, 2), fractions("1/7 1/3", 1, 2)

# Local response normalisation of 2/3 and 4/3 over both, alpha/size = 1/2 and k = 5/36: S = 5/36 + 10/9 = 5/4.
responses, response_deltas = fractions("2/3 4/3", 1, 2, 1), fractions("3/7 -2/5", 1, 2, 1)
LRN = dict(size=3, alpha=Fraction(3, 2), beta=Fraction(1), k=Fraction(5, 36), m=Base2)

# Softmax to base 2 of 0, 1, 2: 1/7, 2/7, 4/7.
row, unit = fractions("0 1 2", 1, 3, 1), fractions("1 0 0", 1, 3, 1)
third = fractions("1/3 1/3 1/3", 1, 3, 1)
zeros, target = fractions("0 0 0 0", 1, 4), fractions("0 1/2 1 0", 1, 4)

BY_HAND = [
    # kernel, output, inputs, index, numbers, result
    ("conv2d", "Y", (Z, F, b), (0, 0, 0, 0), PLAIN, "47/35"),  # 1/6 + 1/3 + 1/5 + 1/7 + 1/2
    ("conv2d", "Y", (Z, F, b), (0, 0, 0, 0), PLAIN | dict(p_h=1, p_w=1), "17/12"),  # 1/6 + 5/2 1/2
    ("conv2d", "Y", (Z, F, b), (0, 0, 0, 0), PLAIN | dict(d_w=2), "317/315"),  # (105 + 210 + 54 + 90 + 175)/630
    ("conv2d_grad_weight", "dF", (Delta, Z), (0, 0, 0, 0), PLAIN, "17/210"),  # 3/7 1/2 - 2/5 1/3
    ("conv2d_grad_bias", "db", (Delta,), (0,), {}, "1/35"),  # 3/7 - 2/5
    ("conv2d_grad_input", "dZ", (Delta, F), (0, 0, 0, 1), PLAIN, "-1/105"),  # 3/7 3/5 - 2/5 2/3
    ("conv2d_grad_input", "dZ", (Delta, F), (0, 0, 1, 2), PLAIN, "-1"),  # -2/5 5/2
    ("conv_transpose2d", "Y", (Z, F, b), (0, 0, 1, 1), PLAIN, "397/210"),  # 1/6+1/3 4/7+1/2 5/2+1/5 2/3+1/4 3/5
    ("conv_transpose2d", "Y", (Z, F, b), (0, 0, 2, 2), PLAIN | dict(u=2, v=2), "3/10"),  # 1/6 + 1/5 2/3
    ("conv_transpose2d", "Y", (Z, F, b), (0, 0, 0, 0), PLAIN | dict(u=2, v=2, p_h=1, p_w=1), "17/12"),  # 1/6 + 5/2 1/2
    ("conv_transpose2d", "Y", (Z, F, b), (0, 0, 2, 0), PLAIN | dict(u=3), "1/6"),  # which no pixel reaches
    ("conv_transpose2d_grad_weight", "dF", (Z, Delta), (0, 0, 0, 0), PLAIN, "17/210"),  # 1/2 3/7 - 1/3 2/5
    ("conv_transpose2d_grad_weight", "dF", (Z, Delta), (0, 0, 0, 1), PLAIN, "3/35"),  # 3/7 1/3 - 2/5 1/7
    ("conv_transpose2d_grad_input", "dZ", (Z, F), (0, 0, 0, 0), PLAIN, "247/210"),  # 1/3 + 1/5 + 1/7 + 1/2
    ("max_pool2d", "Y", (square,), (0, 0, 0, 0), WINDOW, "1/2"),
    ("max_pool2d_grad_input", "dZ", (one_delta, square), (0, 0, 0, 1), WINDOW, "3/7"),
    ("max_pool2d_grad_input", "dZ", (four_deltas, square), (0, 0, 1, 0), BORDER, "1/3"),
    ("max_pool2d_grad_input_all", "dZ", (one_delta, square), (0, 0, 0, 1), WINDOW, "3/7"),
    ("avg_pool2d", "Y", (square,), (0, 0, 0, 0), WINDOW | NO_PAD, "77/240"),  # (20 + 30 + 15 + 12)/60/4
    ("avg_pool2d", "Y", (square,), (0, 0, 0, 0), BORDER | NO_PAD, "1/3"),
    ("avg_pool2d", "Y", (square,), (0, 0, 0, 0), BORDER | WITH_PAD, "1/12"),
    # A window of 3 x 3 that hangs over the padded image, whose 2 x 3 it counts.
    ("avg_pool2d", "Y", (square,), (0, 0, 0, 0), WINDOW | dict(R=3, S=3, p_b=0, p_r=1, include_pad=1), "77/360"),
    ("avg_pool2d_grad_input", "dZ", (one_delta, square), (0, 0, 1, 1), WINDOW | NO_PAD, "3/28"),
    ("avg_pool2d_grad_input", "dZ", (four_deltas, square), (0, 0, 0, 1), BORDER | WITH_PAD, "-1/10"),
    ("lp_pool2d", "Y", (signed,), (0, 0, 0, 0), PAIR | dict(normalize=1), "1"),  # ((1 + 49)/25/2)^(1/2)
    ("lp_pool2d_grad_input", "dZ", (one_delta, signed), (0, 0, 0, 0), PAIR | dict(normalize=1), "-3/70"),
    ("lp_pool2d_grad_input", "dZ", (one_delta, signed), (0, 0, 0, 1), PAIR | dict(normalize=1), "3/10"),
    ("lp_pool2d", "Y", (3 * square[:, :, :, :1],), (0, 0, 0, 0), PAIR | dict(R=2, S=1, normalize=0), "5/4"),  # 1, 3/4
    ("upsample2d_nearest", "Y", (Z,), (0, 0, 3, 4), RESIZED, "1/5"),  # rows 6/5, columns 4/3
    (
        "upsample2d_nearest_grad_input",
        "dZ",
        (four_deltas,),
        (0, 0, 0, 0),
        RESIZED | TWO_BY_THREE,
        "181/210",
    ),  # all four
    ("upsample2d_bilinear", "Y", (Z,), (0, 0, 1, 1), RESIZED, "9/25"),  # 3/5 (1/3 + 1/9) + 2/5 (1/6 + 1/15)
    (
        "upsample2d_bilinear_grad_input",  # 3/7 - 2/3 2/5 + 3/5 1/3 + 3/5 2/3 1/2
        "dZ",
        (four_deltas,),
        (0, 0, 0, 0),
        RESIZED | TWO_BY_THREE,
        "59/105",
    ),
    (
        "upsample2d_bilinear_grad_input",
        "dZ",
        (four_deltas,),
        (0, 0, 1, 1),
        RESIZED | TWO_BY_THREE,
        "1/15",
    ),  # 2/5 1/3 1/2
    ("relu", "Y", (z[0],), (1,), {}, "1/3"),
    ("leaky_relu", "Y", (-z[0],), (1,), dict(slope=Fraction(1, 4)), "-1/12"),
    ("leaky_relu_grad_input", "dZ", (row_deltas[0], -z[0]), (1,), dict(slope=Fraction(1, 4)), "-1/10"),
    ("identity_grad_input", "dZ", (row_deltas[0], z[0]), (1,), {}, "-2/5"),
    ("sigmoid", "Y", (row[0, :, 0],), (1,), dict(m=Base2), "2/3"),  # 1/(1 + 1/2)
    ("sigmoid_grad_input", "dZ", (3 * unit[0, ::-1, 0], row[0, :, 0]), (2,), dict(m=Base2), "12/25"),  # 3 4/5 1/5
    ("tanh", "Y", (row[0, :, 0],), (1,), dict(m=Base2), "3/5"),  # (2 - 1/2)/(2 + 1/2)
    ("tanh", "Y", (-row[0, :, 0],), (2,), dict(m=Base2), "-15/17"),  # (1/4 - 4)/(1/4 + 4)
    ("tanh_grad_input", "dZ", (unit[0, ::-1, 0], -row[0, :, 0]), (2,), dict(m=Base2), "64/289"),
    ("elu", "Y", (-row[0, :, 0],), (1,), dict(alpha=Fraction(3, 5), m=Base2), "-3/10"),  # 3/5 (1/2 - 1)
    ("softplus", "Y", (row[0, :, 0],), (0,), dict(m=Base2), "1"),  # log2(1 + 1)
    ("clip", "Y", (z[0],), (0,), dict(low=Fraction(0), high=Fraction(1, 5)), "1/5"),
    ("clip_grad_input", "dZ", (row_deltas[0], z[0]), (1,), dict(low=Fraction(0), high=Fraction(1, 3)), "-2/5"),
    ("hard_sigmoid", "Y", (z[0],), (1,), dict(alpha=Fraction(3, 5), beta=Fraction(1, 7)), "12/35"),  # 1/5 + 1/7
    (
        "hard_sigmoid_grad_input",
        "dZ",
        (row_deltas[0], z[0]),
        (0,),
        dict(alpha=Fraction(3, 5), beta=Fraction(1, 7)),
        "9/35",
    ),
    ("hard_swish", "Y", (z[0],), (0,), {}, "7/24"),  # 1/2 7/2 1/6
    ("hard_swish_grad_input", "dZ", (row_deltas[0], z[0]), (1,), {}, "-11/45"),  # -2/5 (2/3 + 3)/6
    ("silu", "Y", (row[0, :, 0],), (2,), dict(m=Base2), "8/5"),  # 2/(1 + 1/4)
    ("silu", "Y", (-row[0, :, 0],), (1,), dict(m=Base2), "-1/3"),  # -1/(1 + 2)
    ("silu_grad_input", "dZ", (3 * unit[0, ::-1, 0], row[0, :, 0]), (2,), dict(m=Base2), "84/25"),  # 3 (4/5 + 8/25)
    ("prelu", "Y", (slanted, slopes), (0, 1, 0), {}, "-2/21"),  # -1/3 2/7
    ("prelu_grad_input", "dZ", (slanted_deltas, slanted, slopes), (0, 1, 0), {}, "-4/35"),  # -2/5 2/7
    ("prelu_grad_weight", "dw", (slanted_deltas, slanted), (1,), {}, "2/15"),  # 2/5 1/3
    ("softmax", "Y", (row,), (0, 2, 0), dict(m=Base2), "4/7"),
    ("softmax_grad_input", "dZ", (unit, row), (0, 0, 0), dict(m=Base2), "6/49"),  # 1/7 (1 - 1/7)
    ("softmax_grad_input", "dZ", (unit, row), (0, 2, 0), dict(m=Base2), "-4/49"),
    ("softmax_grad_input_output", "dZ", (unit, third), (0, 0, 0), {}, "2/9"),  # 1/3 (1 - 1/3)
    ("softmax_grad_input_output", "dZ", (unit, third), (0, 2, 0), {}, "-1/9"),
    ("log_softmax_grad_input_output", "dZ", (unit, -row), (0, 1, 0), dict(m=Base2), "-1/2"),  # 0 - 2^-1
    ("log_softmax", "Y", (zeros[:, :, None],), (0, 1, 0), dict(m=Base2), "-2"),  # log2(1/4)
    ("log_softmax_grad_input", "dZ", (unit, row), (0, 0, 0), dict(m=Base2), "6/7"),
    ("affine", "Y", (z, w, fractions("1/6 0", 2)), (0, 0), {}, "7/10"),  # 1/6 + 1/3 + 1/5
    ("affine_grad_weight", "dw", (deltas, two), (0, 0), {}, "17/210"),
    ("affine_grad_bias", "db", (deltas,), (0,), {}, "1/35"),
    ("affine_grad_input", "dZ", (row_deltas, w), (0, 0), {}, "13/70"),  # 3/7 2/3 - 2/5 1/4
    ("add", "Y", (w, z), (1, 1), {}, "22/3"),  # 7 + 1/3
    ("add_grad_input", "dA", (w, z), (0, 0), {}, "11/12"),  # 2/3 + 1/4
    ("add_grad_input", "dA", (w, deltas), (1, 0), {}, "29/4"),  # 1/4 + 7
    ("multiply", "Y", (deltas, w), (0, 1), {}, "9/35"),  # 3/7 3/5
    ("multiply_grad_input", "dA", (w, z, deltas), (0, 1), {}, "-89/35"),  # 3/5 3/7 - 7 2/5
    ("matmul", "Y", (z, w), (0, 1), {}, "79/30"),  # 1/2 3/5 + 1/3 7
    ("matmul_grad_a", "dA", (row_deltas, z, w), (0, 1), {}, "-377/140"),  # 3/7 1/4 - 2/5 7
    ("matmul_grad_a", "dA", (pair, z[None], w[None]), (0, 0, 0), {}, "304/525"),  # 2/7 - 6/25 + 1/3 + 1/5
    ("matmul_grad_b", "dB", (pair, pair[::-1], w[None]), (0, 0, 1), {}, "-2/35"),  # -1/2 2/5 + 3/7 1/3
    ("dropout", "Y", (z[0], [1, 1]), (0,), dict(rate=Fraction(1, 3)), "3/4"),
    ("dropout_grad_input", "dZ", (row_deltas[0], [1, 1]), (1,), dict(rate=Fraction(1, 3)), "-3/5"),
    ("batch_norm2d_statistics_mean", "mean", (members,), (0,), {}, "1"),
    ("batch_norm2d_statistics_var", "var", (members, mean), (0,), {}, "1/4"),
    ("batch_norm2d", "Y", (members, gain, shift, mean, var), (0, 0, 0, 0), ROOT, "-9/35"),  # -3/5 2/3 + 1/7
    ("batch_norm2d_grad_bias", "db", (member_deltas,), (0,), {}, "1/35"),
    ("batch_norm2d_grad_weight", "dg", (member_deltas, members, mean, var), (0,), ROOT, "-58/105"),  # -2/7 - 4/15
    (
        "batch_norm2d_grad_input",  # 4/5 (3/7 - 1/70 - 2/3 58/105 1/2)
        "dZ",
        (member_deltas, members, gain, mean, var, fractions("-58/105", 1), fractions("1/35", 1)),
        (0, 0, 0, 0),
        ROOT,
        "58/315",
    ),
    ("group_norm_statistics", "mean", (set_members,), (0, 0), {}, "1"),
    ("group_norm_statistics", "var", (set_members,), (0, 0), {}, "1/4"),
    ("group_norm", "Y", (set_members, set_gains, set_shifts, set_mean, set_var), (0, 0, 0, 0), ROOT, "-9/35"),
    (
        "group_norm",
        "Y",
        (set_members, set_gains, set_shifts, set_mean, set_var),
        (0, 0, 1, 0),
        ROOT,
        "2/3",
    ),  # 1/3 + 1/3
    ("group_norm_grad_bias", "db", (set_deltas,), (0, 1), {}, "-2/5"),
    ("group_norm_grad_weight", "dg", (set_deltas, set_members, set_mean, set_var), (0, 0), ROOT, "-2/7"),  # -3/7 2/3
    (
        "group_norm_grad_sums",
        "e",
        (set_deltas, set_members, set_gains, set_mean, set_var),
        (0, 0),
        ROOT,
        "2/35",  # 9/35 - 1/5
    ),
    (
        "group_norm_grad_sums",
        "f",
        (set_deltas, set_members, set_gains, set_mean, set_var),
        (0, 0),
        ROOT,
        "-32/105",  # -2/3 9/35 - 2/3 1/5
    ),
    (
        "group_norm_grad_input",
        "dZ",
        (set_deltas, set_members, set_gains, set_mean, set_var, sum_e, sum_f),
        (0, 0, 0, 0),
        ROOT,
        "32/189",  # 4/3 (9/35 - 1/35 - 2/3 16/105)
    ),
    ("local_response_norm", "Y", (responses,), (0, 0, 0), LRN, "8/15"),  # 2/3 4/5
    ("local_response_norm", "Y", (responses,), (0, 1, 0), LRN | dict(size=2, alpha=Fraction(1)), "48/37"),  # 37/36
    (
        "local_response_norm_grad_input",
        "dZ",
        (response_deltas, responses),
        (0, 0, 0),
        LRN,
        "3532/7875",
    ),  # 12/35 + 2/3 416/2625
    ("batch_norm2d_grad_input_inference", "dZ", (member_deltas, gain, var), (0, 0, 0, 0), ROOT, "12/35"),  # 4/5 3/7
    ("squared_error", "E", (z[0], fractions("1 0", 2)), (0,), dict(divisor=2), "13/144"),  # (1/4 + 1/9)/2/2
    ("squared_error_grad_input", "dA", (z[0], fractions("1 0", 2)), (0,), dict(divisor=2), "-1/4"),
    ("cross_entropy", "E", (zeros, target), (0,), dict(divisor=3, m=Base2), "1"),  # 3/2 log2(4)/3
    ("cross_entropy_grad_input", "dZ", (zeros, target), (0, 2), dict(divisor=3, m=Base2), "-5/24"),  # (3/2 1/4 - 1)/3
    ("cross_entropy_index", "E", (zeros, np.array([3])), (0,), dict(divisor=1, m=Base2), "2"),
    ("cross_entropy_index_grad_input", "dZ", (zeros, np.array([3])), (0, 3), dict(divisor=1, m=Base2), "-3/4"),
]


@pytest.mark.parametrize(("kernel", "output", "inputs", "index", "numbers", "result"), BY_HAND)
def test_element_on_fractions(kernel, output, inputs, index, numbers, result):
    element = backend.equations(kernel)[output](*inputs, *index, **numbers)
    assert type(element) is Fraction
    assert element == Fraction(result)


# ---------------------------------------------------------------------------------------------- symbols


def symbols(name, *shape):
    """An array of symbols name_ij..."""
    array = np.empty(shape, dtype=object)
    for index in np.ndindex(shape):
        array[index] = sympy.Symbol(name + "_" + "".join(map(str, index)))
    return array


def test_convolution_on_symbols():
    """D19's Z^F_12 for a kernel of 2 x 2, with its weights as corrected."""
    x, w = sympy.symbols("x1:4(1:4)"), sympy.symbols("w1:3(1:3)")
    x11, x12, x13, x21, x22, x23, *_ = x
    w11, w12, w21, w22 = w
    bias = sympy.Symbol("b")
    Z, F = np.array(x, dtype=object).reshape(1, 1, 3, 3), np.array(w, dtype=object).reshape(1, 1, 2, 2)
    element = backend.equations("conv2d")["Y"](Z, F, np.array([bias], dtype=object), 0, 0, 0, 1, **PLAIN)
    assert sympy.expand(element - (w11 * x12 + w12 * x13 + w21 * x22 + w22 * x23 + bias)) == 0
    assert x11 not in element.free_symbols
    assert x21 not in element.free_symbols


GEOMETRIES = {
    "plain": PLAIN,
    "stride and padding": PLAIN | dict(u=2, v=3, p_h=1, p_w=2),
    "dilation": PLAIN | dict(d_h=2, d_w=1, p_w=1),
    "groups": PLAIN | dict(v=2, p_h=1, groups=2),
}


@pytest.mark.parametrize("numbers", GEOMETRIES.values(), ids=GEOMETRIES)
def test_convolution_gradients_are_derivatives(numbers):
    groups = numbers["groups"]
    Z, F, b = symbols("Z", 2, 2, 3, 4), symbols("F", 2, 2 // groups, 2, 3), symbols("b", 2)
    extent = {
        axis: (size + 2 * numbers[pad] - numbers[dilation] * (kernel - 1) - 1) // numbers[stride] + 1
        for axis, size, kernel, pad, dilation, stride in (
            ("P", 3, 2, "p_h", "d_h", "u"),
            ("Q", 4, 3, "p_w", "d_w", "v"),
        )
    }
    Delta = symbols("Delta", 2, 2, extent["P"], extent["Q"])
    Y = backend.equations("conv2d")["Y"]
    E = sympy.expand(sum(Delta[at] * Y(Z, F, b, *at, **numbers) for at in np.ndindex(Delta.shape)))
    assert_derivatives(E, F, backend.equations("conv2d_grad_weight")["dF"], (Delta, Z), numbers)
    assert_derivatives(E, b, backend.equations("conv2d_grad_bias")["db"], (Delta,), {})
    assert_derivatives(E, Z, backend.equations("conv2d_grad_input")["dZ"], (Delta, F), numbers)


@pytest.mark.parametrize("numbers", GEOMETRIES.values(), ids=GEOMETRIES)
def test_transposed_convolution_and_its_gradients_are_those_of_convolution(numbers):
    """T1 is the derivative of C1 with respect to its input; T2 and T3 are derivatives of T1."""
    groups = numbers["groups"]
    Z, F, b = symbols("Z", 1, 2, 2, 3), symbols("F", 2, 2 // groups, 2, 3), symbols("b", 2 // groups * groups)
    extent = {
        axis: numbers[stride] * (size - 1) + numbers[dilation] * (kernel - 1) + 1 - numbers[pad] + 1
        for axis, size, kernel, pad, dilation, stride in (
            ("P", 2, 2, "p_h", "d_h", "u"),
            ("Q", 3, 3, "p_w", "d_w", "v"),
        )
    }
    Delta = symbols("Delta", 1, len(b), extent["P"], extent["Q"])
    Y = backend.equations("conv_transpose2d")["Y"]
    E = sympy.expand(sum(Delta[at] * Y(Z, F, b, *at, **numbers) for at in np.ndindex(Delta.shape)))
    convolved, nothing = backend.equations("conv2d")["Y"], np.zeros(2, dtype=object)
    other = sum(Z[at] * convolved(Delta, F, nothing, *at, **numbers) for at in np.ndindex(Z.shape))
    assert sympy.expand(other + sum(Delta[at] * b[at[1]] for at in np.ndindex(Delta.shape))) == E
    assert_derivatives(E, F, backend.equations("conv_transpose2d_grad_weight")["dF"], (Delta, Z), numbers)
    assert_derivatives(E, Z, backend.equations("conv_transpose2d_grad_input")["dZ"], (Delta, F), numbers)


def test_affine_gradients_are_derivatives():
    Z, w, b, Delta = symbols("Z", 2, 3), symbols("w", 2, 3), symbols("b", 2), symbols("Delta", 2, 2)
    Y = backend.equations("affine")["Y"]
    E = sympy.expand(sum(Delta[at] * Y(Z, w, b, *at) for at in np.ndindex(Delta.shape)))
    assert_derivatives(E, w, backend.equations("affine_grad_weight")["dw"], (Delta, Z), {})
    assert_derivatives(E, b, backend.equations("affine_grad_bias")["db"], (Delta,), {})
    assert_derivatives(E, Z, backend.equations("affine_grad_input")["dZ"], (Delta, w), {})


@pytest.mark.parametrize("stacks", [((2,), (2,)), ((1,), (2,)), ((2, 1), (1, 2))], ids=str)
def test_matmul_gradients_are_derivatives(stacks):
    whole = np.broadcast_shapes(*stacks)
    A, B, Delta = symbols("A", *stacks[0], 2, 3), symbols("B", *stacks[1], 3, 2), symbols("Delta", *whole, 2, 2)
    Y = backend.equations("matmul")["Y"]
    E = sympy.expand(sum(Delta[at] * Y(A, B, *at) for at in np.ndindex(Delta.shape)))
    assert_derivatives(E, A, backend.equations("matmul_grad_a")["dA"], (Delta, A, B), {})
    assert_derivatives(E, B, backend.equations("matmul_grad_b")["dB"], (Delta, A, B), {})


@pytest.mark.parametrize("include_pad", [0, 1])
def test_average_pooling_gradient_is_the_derivative(include_pad):
    Z, Delta = symbols("Z", 1, 1, 3, 4), symbols("Delta", 1, 1, 2, 4)
    numbers = dict(R=2, S=3, u=2, v=1, p_h=1, p_w=1, p_b=0, p_r=1, include_pad=include_pad)
    Y = backend.equations("avg_pool2d")["Y"]
    E = sympy.expand(sum(Delta[at] * Y(Z, *at, **numbers) for at in np.ndindex(Delta.shape)))
    assert_derivatives(E, Z, backend.equations("avg_pool2d_grad_input")["dZ"], (Delta, Z), numbers)


def test_sigmoid_and_squared_error_on_symbols():
    """D19 (1): delta = (a - t) a (1 - a)."""
    z, t = symbols("z", 2), symbols("t", 2)
    sigmoid, squared_error = backend.equations("sigmoid")["Y"], backend.equations("squared_error")["E"]
    a = np.array([sigmoid(z, i, m=sympy) for i in range(2)], dtype=object)
    assert a[0] == 1 / (1 + sympy.exp(-z[0]))
    C = squared_error(a, t, 0, divisor=1)
    through_cost, through_sigmoid = (backend.equations(f"{name}_grad_input") for name in ("squared_error", "sigmoid"))
    Delta = np.array([through_cost["dA"](a, t, i, divisor=1) for i in range(2)], dtype=object)
    for i in range(2):
        delta = through_sigmoid["dZ"](Delta, z, i, m=sympy)
        assert sympy.simplify(delta - sympy.diff(C, z[i])) == 0
        assert sympy.simplify(delta - (a[i] - t[i]) * a[i] * (1 - a[i])) == 0


def assert_derivatives(E, of, element, inputs, numbers):
    """`element` is dE/d`of` at every index, as an expression."""
    for index in np.ndindex(of.shape):
        assert sympy.expand(element(*inputs, *index, **numbers)) == sympy.diff(E, of[index]).expand()
