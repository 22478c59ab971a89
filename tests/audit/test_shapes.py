"""benchdnn's notation: its own examples, what is left out, and what is refused; the lines of a file."""

import pytest

from cnnx.audit.spot.benchdnn import ShapeError, parse, parse_file

pytestmark = pytest.mark.once


def read(text, op="conv2d"):
    problem = parse(text, op)
    return problem.case.arrays, problem.case.options, problem.output


def test_a_convolution():
    arrays, options, output = read("g1mb8ic64ih56oc64oh56kh3ph1")
    assert arrays == {"x": (8, 64, 56, 56), "weight": (64, 64, 3, 3), "bias": (64,)}
    assert options == dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
    assert output == (8, 64, 56, 56)


def test_the_example_of_the_convolution_driver():
    """doc/driver_conv.md: the first convolution of AlexNet; no mb is 2."""
    problem = parse('ic3ih227iw227_oc96oh55ow55_kh11kw11_sh4sw4ph0pw0_n"alexnet:conv1"')
    assert problem.case.name == "alexnet:conv1"
    assert problem.case.arrays["x"] == (2, 3, 227, 227)
    assert problem.case.arrays["weight"] == (96, 3, 11, 11)
    assert problem.case.options["stride"] == (4, 4)
    assert problem.output == (2, 96, 55, 55)


def test_the_example_of_the_pooling_driver():
    """doc/driver_pool.md."""
    problem = parse('mb96ic768_ih17oh17_kh3sh1ph1n"googlenet_v3:ave_pool_mixed_4_pool"', "avg_pool2d")
    assert problem.case.arrays == {"x": (96, 768, 17, 17)}
    assert problem.case.options == dict(kernel_size=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1)))
    assert problem.case.name == "googlenet_v3:ave_pool_mixed_4_pool"
    assert problem.output == (96, 768, 17, 17)


@pytest.mark.parametrize(
    ("text", "padding", "output"),
    [
        # inputs/conv/shapes_tails, whose outputs take padding at the end alone, or (oh given, ph not) on both sides
        ("ic32oc13_ih13oh12kh3ph0", ((0, 1), (0, 1)), (12, 12)),
        ("ic19oc32_iw13ow12kw3pw1", ((0, 0), (1, 0)), (1, 12)),
        ("ic20oc32_iw13ow13kw3pw0", ((0, 0), (0, 2)), (1, 13)),
        ("g64ic512oc512_ih240oh120kh3sh2dh0ph1", ((1, 1), (1, 1)), (120, 120)),
        ("ic3oc8ih224oh112kh3sh2", ((0, 1), (0, 1)), (112, 112)),
        ("ic3oc8ih10oh10kh5", ((2, 2), (2, 2)), (10, 10)),
        ("ic3oc8ih10oh4kh3sh2", ((0, 0), (0, 0)), (4, 4)),
        # inputs/conv/shapes_basic: less at the end than at the top
        ("g1ic17oc17_ih8oh5kh3ph3sh2", ((3, 0), (3, 0)), (5, 5)),
        # inputs/conv/shapes_regression_padding: a number twice, padding wider than the kernel
        ("mb1ic16oc16_ih10kh5_kh5ph7sh1", ((7, 7), (7, 7)), (20, 20)),
        ("mb1_ic128ih1_oc16oh1_kh3_ph1", ((1, 1), (1, 1)), (1, 1)),
    ],
)
def test_padding_and_output(text, padding, output):
    problem = parse(text)
    assert problem.case.options["padding"] == padding
    assert problem.output[2:] == output


def test_rows_and_columns_apart():
    _, options, output = read("ic2oc4ih9iw20kh3kw5sh2sw3ph1pw2dh1dw0")
    assert options == dict(stride=(2, 3), padding=((1, 1), (2, 2)), dilation=(2, 1), groups=1)
    assert output == (2, 4, (9 + 2 - 5) // 2 + 1, (20 + 4 - 5) // 3 + 1)


def test_dilation_counts_from_0():
    assert parse("ic1oc1ih9kh3dh0").case.options["dilation"] == (1, 1)
    assert parse("ic1oc1ih9kh3dh2").case.options["dilation"] == (3, 3)


def test_groups_divide_the_weight():
    assert parse("g32ic64ih8oc32kh3").case.arrays["weight"] == (32, 2, 3, 3)


@pytest.mark.parametrize(
    "text",
    [
        "g2mb3ic4ih9iw8oc6kh3kw2sh2sw1ph1pw0dh1dw0",
        "ic32oc13_ih13oh12kh3ph0",
        "ic20oc32_iw13ow13kw3pw0",
        "ic3oc8ih224oh112kh3sh2",
    ],
)
def test_the_text_of_a_problem_is_the_same_problem(text):
    problem = parse(text)
    again = parse(problem.text)
    assert (again.case.arrays, again.case.options) == (problem.case.arrays, problem.case.options)
    assert (again.text, again.output) == (problem.text, problem.output)


def test_mb_in_the_place_of_the_problems_own():
    assert parse("mb8ic1oc1ih5kh3", mb=3).case.arrays["x"] == (3, 1, 5, 5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ic: missing"),
        ("ic3oc4", "ih: missing"),
        ("ih5kh3ic2", "oc: missing"),
        ("ic2oc2ih5", "kh: missing"),
        ("ic2oc2ih5iw5kh3", "kw: missing"),
        ("zz5", "'zz5': expected one of g, mb"),
        ("ic2 oc3", "' oc3': expected one of g, mb"),
        ("ic2oc2ih5kh", "kh: expected a whole number after it, got 'the end'"),
        ("ic2oc2ih-5kh3", "ih: expected a whole number after it, got '-'"),
        ("ic2oc2ih5kh3sh0", "sh0: expected at least 1"),
        ("mb0ic2oc2ih5kh3", "mb0: expected at least 1"),
        ("ic2oc2ih5kh3kh4", "kh4: kh3 was given before"),
        ("ic2oc2ih5kh7", "kh7: it spans 7, more than ih5 and twice ph0"),
        ("ic2oc2ih5kh3dh2", "kh3: it spans 7"),
        ("ic2oc4g3ih5kh3", "g3: expected a divisor of ic2 and oc4"),
        ("ic64ih56oc64oh57kh3ph1sh2", "oh57: expected 28"),
        ("ic64ih56oc64oh27kh3ph1sh2", "oh27: expected 28"),
        ("ic2oc2id4kd3", "id4: three-dimensional problems are not read"),
        ("ic2oc2ih99999999999kh3", "ih99999999999: expected at most 2147483647"),
        ("--dir=FWD_B ic2", "--dir=FWD_B: options of benchdnn are not read"),
    ],
)
def test_refused(text, says):
    with pytest.raises(ShapeError) as error:
        parse(text)
    assert says in str(error.value)
    assert repr(text.strip()) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ic2oc3ih5kh3", "'oc3': expected one of mb"),
        ("g1ic2ih5kh3", "'g1'"),
        ("ic2ih5kh2dh1", "dh1: a pooling"),
        ("mb1ic16_ih10oh6_kh5sh5ph10", "ph10: a window lies wholly in padding"),
    ],
)
def test_refused_of_a_pooling(text, says):
    with pytest.raises(ShapeError, match=says):
        parse(text, "max_pool2d")


def test_an_op_without_a_notation():
    with pytest.raises(ShapeError, match="expected an op of conv2d, max_pool2d, avg_pool2d, got 'relu'"):
        parse("ic2ih5kh3", "relu")


def test_a_file(tmp_path):
    path = tmp_path / "shapes"
    path.write_text('# all of them\n\nic2oc3ih5kh3_n"first"  # one\n  mb4ic2oc3ih6kh3\n')
    first, second = parse_file(path)
    assert (first.case.name, second.case.name) == ("first", "mb4ic2oc3ih6kh3")
    assert second.output == (4, 3, 4, 4)


def test_a_file_with_a_bad_line(tmp_path):
    path = tmp_path / "shapes"
    path.write_text("ic2oc3ih5kh3\n\nic2oc3ih5kh9\n")
    with pytest.raises(ShapeError, match="shapes, line 3: shape 'ic2oc3ih5kh9': kh9: it spans 9"):
        parse_file(path)


@pytest.mark.parametrize(("content", "says"), [(b"# nothing\n", "got none"), (b"\xff\xfe\x00", "UTF-8")])
def test_a_file_of_no_problems(tmp_path, content, says):
    path = tmp_path / "shapes"
    path.write_bytes(content)
    with pytest.raises(ShapeError, match=says):
        parse_file(path)
