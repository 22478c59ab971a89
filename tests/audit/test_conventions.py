"""The table of conventions, what is made of it, and the probes that it comes from."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cnnx.audit.compat import COMPAT, Compat
from cnnx.audit.field import QUESTIONS, TABLE, Table, lacks, run
from cnnx.audit.field.asked import Asked
from cnnx.audit.field.between import GROUPS, NODES, between, keys_of, of_model
from cnnx.audit.field.engines import ENGINES, engine
from cnnx.audit.field.page import page
from cnnx.audit.field.questions import answer
from cnnx.cli import main

pytestmark = pytest.mark.once

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())


def test_every_engine_has_answered_every_question() -> None:
    assert [*TABLE.answers] == [*QUESTIONS]
    assert len(QUESTIONS) >= 24
    assert len(TABLE.engines) >= 10
    for key, row in TABLE.answers.items():
        assert [*row] == [*TABLE.engines], key
        assert all(answer and not answer.startswith("raises") for answer in row.values()), key
    assert {*TABLE.engines} <= {*ENGINES}


def test_the_table_is_written_as_it_is_read() -> None:
    assert Table.read(TABLE.text()) == TABLE


def test_what_another_processor_answered_is_kept() -> None:
    def asked(table: Table, processor: str, answer: str, version: str = "1") -> Table:
        about = {"version": version, "date": "2026-12-01", "processor": processor}
        return table.replaced("e", about, {"q": answer, "r": "a"})

    first = asked(Table({}, {}), "one", "yes")
    assert first.elsewhere == {}
    second = asked(first, "two", "no")
    assert second.elsewhere == {"q": {"e": "yes (one)"}}
    assert Table.read(second.text()) == second
    assert asked(second, "two", "no").elsewhere == second.elsewhere
    assert asked(second, "three", "no").elsewhere == second.elsewhere
    assert asked(second, "one", "yes").elsewhere == {"q": {"e": "no (two)"}}
    assert asked(second, "two", "yes").elsewhere == {}
    assert asked(second, "two", "no", "2").elsewhere == {}


def test_the_page_is_the_tables() -> None:
    docs = ROOT / "docs" / "conventions.md"
    assert docs.read_text(encoding="utf-8") == page(), "python -m cnnx.audit.field.page > docs/conventions.md"


def test_presets_are_what_they_were_before_there_was_a_table() -> None:
    first = {"ties": "first"}
    assert COMPAT["torch"] == Compat(
        "torch",
        {"max_pool2d": first, "avg_pool2d": {"count_include_pad": True}, "lp_pool2d": {"normalize": False}},
        nonfinite="forward",
        flushed=True,
    )
    assert COMPAT["onnx"] == Compat(
        "onnx",
        {"max_pool2d": first, "avg_pool2d": {"count_include_pad": False}, "lp_pool2d": {"normalize": False}},
        nonfinite="nowhere",
        flushed=True,
    )
    assert COMPAT["paper"] == Compat(
        "paper",
        {"max_pool2d": {"ties": "all"}, "avg_pool2d": {"count_include_pad": False}, "lp_pool2d": {"normalize": True}},
        ceil_mode=False,
    )
    assert [*COMPAT][:4] == ["", "paper", "torch", "onnx"]


def test_every_engine_is_a_preset() -> None:
    assert {*TABLE.engines} - {"cnnx"} <= {*COMPAT}
    assert COMPAT["mlx"].options == {"avg_pool2d": {"count_include_pad": True}}  # ties: a share each, no option of cnnx


def test_cnnx_answers_as_the_table_says() -> None:
    """Its own column, by the probes: so they run where no other engine is installed."""
    here = engine("cnnx")
    for key, question in QUESTIONS.items():
        if key != run.THREADS:
            assert answer(question, here) == TABLE.answers[key]["cnnx"], key


class Wrong(Asked):
    """What no good engine does: zeros win a maximum, NaN is lost, the tail of relu is another loop."""

    def max_pool(self, x, kernel, stride, padding=0, ceil=False):
        H, W = x.shape[2:]
        framed = np.zeros((1, 1, H + 2 * padding, W + 2 * padding), x.dtype)
        framed[:, :, padding : padding + H, padding : padding + W] = x
        windows = np.lib.stride_tricks.sliding_window_view(framed, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
        return np.nanmax(windows, (4, 5))

    def lp_pool(self, x, p, kernel):
        return np.full((1, 1, 1, 1), np.nan, x.dtype)

    def relu(self, x):
        y = np.maximum(x, np.float32(0)) + np.float32(0)
        y[:, 32:] = x[:, 32:]
        return y

    def backward(self, function, x):
        return 3 * np.ones_like(x)


def test_probes_see_what_an_engine_does() -> None:
    wrong = Wrong()
    keys = ("lp_sign", "maximum_padding", "nan_first", "relu_minus_zero", "ties")
    assert {key: answer(QUESTIONS[key], wrong) for key in keys} == {
        "lp_sign": "no, NaN",
        "maximum_padding": "yes, it is 0",
        "nan_first": "lost",
        "relu_minus_zero": "kept in the last 5 of 37",
        "ties": "[3.0, 3.0, 3.0, 3.0]",
    }
    assert answer(QUESTIONS["gelu_form"], wrong) == "does not have it (no gelu)"
    assert lacks(answer(QUESTIONS["running_variance"], wrong))


def test_a_process_that_ends_at_a_question_is_the_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, signal, sys\n"
        "say = lambda **said: print('cnnx-field ' + json.dumps(said), flush=True)\n"
        "say(version='7')\n"
        "for key in sys.argv[3:]:\n"
        "    say(asked=key)\n"
        "    if key == 'relu_nan': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    say(key=key, answer='fine')\n"
    )
    monkeypatch.setattr(run, "CHILD", (str(script),))
    found = run.ask("any", ("relu_slope", "relu_nan", "ties"))
    assert found.version == "7"
    assert found.answers == {"relu_slope": "fine", "relu_nan": "ends the process (SIGSEGV)", "ties": "fine"}


def test_an_engine_that_is_not_installed_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text("import there_is_none\n")
    monkeypatch.setattr(run, "CHILD", (str(script),))
    found = run.ask("any")
    assert (found.version, found.answers) == ("", {})
    assert found.why_not == "ModuleNotFoundError: No module named 'there_is_none'"


def test_a_process_of_its_own_answers_as_the_table_says() -> None:
    found = run.ask("cnnx", ("ties", run.THREADS))
    assert found.answers == {key: TABLE.answers[key]["cnnx"] for key in ("ties", run.THREADS)}


# ------------------------------------------------------------------------------------------------ cnnx compat


def test_compat_says_what_changes_in_pooling(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "pooling", "--from", "torch", "--to", "openvino"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"average_divisor: .*\n  torch: padding counts\n  openvino: padding does not count\n", text)
    assert text.splitlines()[-1] == f"{len(keys_of('pooling'))} questions: 7 answered otherwise"
    assert main(["compat", "pooling", "--from", "torch", "--to", "torch"]) == 0


def test_compat_prints_an_op_and_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "gelu", "jax"]) == 0
    text = capsys.readouterr().out
    assert "which gelu, where nothing is said\n  by tanh\n" in text
    assert "elsewhere" not in text
    assert "relu_slope" not in text
    assert main(["compat"]) == 0
    text = capsys.readouterr().out
    assert [key for key in QUESTIONS if f"\n{key} (" not in text] == []


def test_compat_says_what_another_processor_answered(capsys: pytest.CaptureFixture[str]) -> None:
    key, row = next(iter(TABLE.elsewhere.items()))
    name, answer = next(iter(row.items()))
    assert main(["compat", QUESTIONS[key].ops[0], name]) == 0
    assert f"  elsewhere {name}: {answer}\n" in capsys.readouterr().out
    assert main(["compat", QUESTIONS[key].ops[0], "--from", name, "--to", name]) == 0
    assert f"  elsewhere {name}: {answer}\n" in capsys.readouterr().out


def test_compat_as_json_is_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compat", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["key"]: one["answers"] for one in found["questions"]} == TABLE.answers
    assert {one["key"]: one["elsewhere"] for one in found["questions"] if one["elsewhere"]} == TABLE.elsewhere
    assert main(["compat", "relu", "--from", "torch", "--to", "jax", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in found["questions"]] == [row.verdict for row in between("torch", "jax", "relu")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compat", "caffe"], "OP|ENGINE: expected one of"),
        (["compat", "--from", "torch"], "--from, --to: expected both or none"),
        (["compat", "--from", "torch", "--to", "caffe"], "--to: expected one of"),
        (["compat", "jax", "--from", "torch", "--to", "openvino"], "ENGINE: expected none beside --from and --to"),
        (["compat", "--model", "m.onnx"], "--model: expected --from ENGINE --to ENGINE too"),
    ],
)
def test_compat_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_compat_of_a_model_names_the_nodes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("MaxPool", ["x"], ["a"], "first", kernel_shape=[3, 3]),
        helper.make_node(
            "AveragePool", ["a"], ["y"], "second", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1,
            count_include_pad=1,
        ),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, None, None]) for name in "xy"]
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])), path)
    asked = ["compat", "--model", str(path), "--from", "onnxruntime", "--to", "openvino"]
    assert main(asked) == 1
    text = capsys.readouterr().out
    assert "AveragePool (second): ceil mode, padding counted" in text
    assert "onnxruntime: members in the padded image\n  openvino: the whole window" in text
    assert text.splitlines()[-1] == "2 nodes: 1 may mean something else"
    assert main([*asked, "--json"]) == 1
    assert [one["node"] for one in json.loads(capsys.readouterr().out)["differing"]] == ["second"]
    path.write_bytes(b"no model")
    assert main(asked) == 2
    assert "--model: expected an ONNX file" in capsys.readouterr().err


def test_nodes_within_branches_and_functions_are_looked_at(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, number, None) for name in ("x", "y")]
    then, other = (
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name)], name, [], ends[1:])
        for name in ("then", "else")
    )
    branch = helper.make_node("If", ["c"], ["y"], "branch", then_branch=then, else_branch=other)
    condition = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    own = helper.make_function("own", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"], "inner")], opsets[:1])
    graph = helper.make_graph([branch], "g", [condition, ends[0]], ends[1:])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=[own]), path)
    count, found = of_model(path, "torch", "openvino")
    assert count == 4
    assert sorted(node.name for node in found) == ["else", "inner", "then"]  # attributes are in any order


@pytest.mark.parametrize(
    ("attributes", "concerned"),
    [
        ({"kernel_shape": [3, 3]}, set()),
        ({"kernel_shape": [2, 3]}, {"same_odd_pool", "same_odd_conv"}),
        ({}, {"same_odd_pool", "same_odd_conv"}),
        ({"kernel_shape": [3, 3], "strides": [1, 2]}, {"same_odd_pool_stride", "same_odd_conv_stride"}),
    ],
)
def test_same_padding_matters_where_a_side_has_more(attributes: dict[str, list[int]], concerned: set[str]) -> None:
    found = {key for key, (_, asks) in NODES.items() if "odd" in key and asks({"auto_pad": "SAME_UPPER", **attributes})}
    assert found == concerned


def test_questions_of_models_and_groups_exist() -> None:
    assert {*NODES} <= {*QUESTIONS}
    assert not any(QUESTIONS[key].default for key in NODES)
    assert all(keys_of(group) for group in GROUPS)
