"""Every target compiles a convolutional net and a transformer block to a file that keeps its rules.

What cannot run here is read against the rules; ONNX Runtime computes such files all the same, so
they are held to the simulation as well.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from integration.compiling import Warnings, compile_case
from onnx import numpy_helper

from rewrite import CheckError, Target
from rewrite.checks.judge import Judge
from rewrite.checks.samples import EXAMPLE, Sample
from rewrite.interpret import Interpreter
from rewrite.lint import lint, rules_of
from rewrite.lowering.agreement import LARGEST_LAYER_DIFFERENCE
from rewrite.lowering.wide_products import hold_wide_products
from rewrite.plugin_host import PluginHost
from rewrite.runtimes import get_runtime

from .nets import CASES

HOST = PluginHost()
INT8 = [n for n in HOST.targets() if n != "ort-weight-only"]
HERE = [n for n in INT8 if (t := HOST.find_target(n)).fits_here and t.runtimes]
ELSEWHERE = [n for n in INT8 if n not in HERE]
LOWEST_SQNR = 35.0
"""In dB, of the file on ONNX Runtime against the simulation."""
LOWEST_SQNR_OF_16_BITS = 80.0
"""A step is 48 dB finer, and as few fall the other way."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return (result, what was said) of a case for a target, each compiled once."""
    made = {}

    def make(name: str, case: str):
        if (name, case) not in made:
            folder, talk = tmp_path_factory.mktemp(f"{name}-{case}"), Warnings()
            preset = "academic" if name == "academic" else "int8"
            result = compile_case(CASES[case], folder, preset, talk, target=name)
            made[name, case] = result, talk.heard
        return made[name, case]

    return make


def graph_of(result) -> onnx.GraphProto:
    return onnx.load(result.artifact.path).graph


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", INT8)
def test_a_file_keeps_the_rules_of_its_target(name, case, compiled):
    result, heard = compiled(name, case)
    assert lint(result.artifact.path, HOST.find_target(name)) == []
    assert result.artifact.lowered.is_quantized
    if name in ELSEWHERE:
        assert not heard and not result.artifact.runtimes


def on_onnxruntime(artifact):
    """Run a file for elsewhere on its example, and compare it with what is simulated."""
    program = artifact.lowered.program
    artifact.simulated = [Interpreter(program).run_inputs(*program.example)]
    sample = Sample(EXAMPLE, program.example, artifact.simulated[0])
    artifact.run_on(get_runtime("onnxruntime"), program, [sample], Judge(program), threads=1)
    return artifact.runtimes.pop().agreement


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_files_for_elsewhere_are_what_was_simulated(name, case, compiled):
    result, _ = compiled(name, case)
    artifact = result.artifact
    agreement = on_onnxruntime(artifact)
    assert agreement.difference.sqnr_db >= LOWEST_SQNR
    assert agreement.layers.compared == agreement.layers.total > 0
    assert agreement.layers.max_lsb <= LARGEST_LAYER_DIFFERENCE


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", HERE)
def test_files_for_here_are_run(name, case, compiled):
    result, _ = compiled(name, case)
    found = result.as_json()["runtimes"]["onnxruntime"]
    assert not found["problem"]
    if name in ("ort-x64", "ort-x64-avx2", "portable"):
        assert found["int8"]["fired"] == found["int8"]["eligible"] > 0


def initializers(result) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in graph_of(result).initializer}


def test_files_of_four_bits_keep_the_rules_of_theirs(tmp_path):
    result = compile_case(CASES["block"], tmp_path, "int4-weights", target="ort-weight-only")
    assert lint(result.artifact.path, HOST.find_target("ort-weight-only")) == []
    kept = {rule.name for rule in rules_of(HOST.find_target("ort-weight-only"))}
    assert "weight-blocks" in kept


@pytest.mark.parametrize("case", CASES)
def test_avx2_weights_have_seven_bits(case, compiled):
    result, _ = compiled("ort-x64-avx2", case)
    weights = [v for n, v in initializers(result).items() if "weight_int8" in n]
    assert weights and max(abs(w.astype(int)).max() for w in weights) == 64


@pytest.mark.parametrize("case", CASES)
def test_vitis_scales_are_powers_of_two(case, compiled):
    result, _ = compiled("vitis", case)
    scales = [v for n, v in initializers(result).items() if "scale" in n]
    assert scales and all((np.frexp(s)[0] == 0.5).all() for s in scales)
    assert all(s.size == 1 for s in scales)


def test_tensorrt_adds_a_float_branch_to_an_int8_skip(compiled):
    result, _ = compiled("tensorrt", "conv-net")
    graph = graph_of(result)
    made = {o: n.op_type for n in graph.node for o in n.output}
    (add,) = [n for n in graph.node if n.op_type == "Add"]
    assert {made[name] for name in add.input} == {"Conv", "DequantizeLinear"}
    (concat,) = [n for n in graph.node if n.op_type == "Concat"]
    assert {made[name] for name in concat.input} == {"DequantizeLinear"}


def test_tensorrt_leaves_small_layers_and_attention_float(compiled):
    result, _ = compiled("tensorrt", "conv-net")
    reasons = {r.reason for report in result.reports for r in report.outcome.rejected}
    assert "it has 3 channels in and 16 out: int8 kernels take 16 or more" in reasons
    result, _ = compiled("tensorrt", "block")
    quantized = {n.input[0] for n in graph_of(result).node if n.op_type == "QuantizeLinear"}
    assert len(quantized) == 4  # in front of qkv, the projection, and both layers of the MLP


@pytest.mark.parametrize("name", ["tensorrt", "qnn"])
def test_transposed_convolutions_have_a_scale_for_each_output(name, compiled):
    result, _ = compiled(name, "upscale")
    nodes = {o: n for n in graph_of(result).node for o in n.output}
    values = initializers(result)
    found = []
    for node in nodes.values():
        if node.op_type == "ConvTranspose":
            dequantize = nodes.get(node.input[1])
            if dequantize is None:
                continue
            axis = {a.name: a.i for a in dequantize.attribute}.get("axis")
            found.append((values[dequantize.input[1]].shape, axis))
    (whole, axis), *groups = found
    assert whole == (24,) and axis == 1
    # Each element of axis 1 belongs to an output of either group; 12 channels in are few for one.
    assert [shape for shape, _ in groups] == ([()] if name == "qnn" else [])


SIXTEEN = "remove-dead-code,expand-attention,insert-quantizers{bits=w8a16},calibrate"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("opset", [20, 21])
def test_qnn_takes_sixteen_bits_of_activations_beside_eight_of_weights(case, opset, tmp_path):
    from rewrite.pass_spec import parse_passes

    passes = tuple(parse_passes(f"fold-batch-norm,{SIXTEEN}"))
    result = compile_case(CASES[case], tmp_path, None, target="qnn", passes=passes, opset=opset)
    artifact = result.artifact
    assert lint(artifact.path, HOST.find_target("qnn")) == []
    types = {n: v.dtype.name for n, v in initializers(result).items() if v.dtype.kind in "iu"}
    assert {d for n, d in types.items() if re.search("(weight|bias)_int", n)} == {"int8", "int32"}
    norms = {"int8"} if case == "block" else set()
    assert {d for n, d in types.items() if n.startswith("qdq.")} == {"uint16"} | norms
    # The file is for HTP. ONNX Runtime, which computes it here, rounds 16 bits to 8 (1.32).
    model = ir.load(artifact.path)
    hold_wide_products(model)
    ir.save(model, artifact.path)
    agreement = on_onnxruntime(artifact)
    assert agreement.difference.sqnr_db >= LOWEST_SQNR_OF_16_BITS
    assert agreement.layers.max_lsb <= LARGEST_LAYER_DIFFERENCE


@pytest.mark.parametrize("name", ["portable", "ort-x64", "openvino"])
def test_sixteen_bits_are_written_where_they_run_in_float_and_break_a_rule(name, tmp_path):
    from rewrite.pass_spec import parse_passes

    if name == "openvino":
        pytest.importorskip("openvino")
    passes = tuple(parse_passes(SIXTEEN))
    path = compile_case(CASES["gates"], tmp_path, None, target=name, passes=passes).artifact.path
    assert {v.rule for v in lint(path, HOST.find_target(name))} == {"eight-bit-activations"}
    kernels = get_runtime("onnxruntime").load(path).kernels()
    assert all(each.has_weight and not each.fired for each in kernels)


@pytest.mark.parametrize(("bits", "steps"), [("w8a8", 256), ("w8a16", 65536)])
def test_qnn_fixes_the_scale_behind_sigmoid_and_tanh(bits, steps, tmp_path):
    from rewrite.pass_spec import parse_passes

    passes = tuple(parse_passes(SIXTEEN.replace("w8a16", bits)))
    result = compile_case(CASES["gates"], tmp_path, None, target="qnn", passes=passes)
    graph, values = graph_of(result), initializers(result)
    makers = {o: n.op_type for n in graph.node for o in n.output}
    found = {
        (makers[n.input[0]], float(values[n.input[1]]), int(values[n.input[2]]))
        for n in graph.node
        if n.op_type == "QuantizeLinear" and makers.get(n.input[0]) in ("Sigmoid", "Tanh")
    }
    assert found == {("Sigmoid", 1 / steps, 0), ("Tanh", 2 / steps, steps // 2)}
    # The product reads both as they are, with no pair of quantizers in between.
    (product,) = [n for n in graph.node if n.op_type == "Mul"]
    sources = [next(n for n in graph.node if x in n.output).input[0] for x in product.input]
    quantizers = [next(n for n in graph.node if x in n.output) for x in sources]
    assert {makers[q.input[0]] for q in quantizers} == {"Sigmoid", "Tanh"}


def test_academic_folds_nothing(compiled):
    result, _ = compiled("academic", "conv-net")
    ops = result.artifact.ops
    assert ops["BatchNormalization"] == 1
    (stem,) = [n for n in graph_of(result).node if n.op_type == "BatchNormalization"]
    assert stem is not None


def test_academic_keeps_eight_bits_at_the_ends(tmp_path):
    from rewrite.pass_spec import parse_passes

    passes = "remove-dead-code,expand-attention,insert-quantizers{bits=w4a4},calibrate"
    result = compile_case(
        CASES["conv-net"],
        tmp_path,
        None,
        target="academic",
        passes=tuple(parse_passes(passes)),
    )
    widest = {
        name.removesuffix(".weight_int8"): int(abs(value.astype(int)).max())
        for name, value in initializers(result).items()
        if name.endswith(".weight_int8")
    }
    assert {n for n, top in widest.items() if top > 8} == {"stem", "head"}
    assert len(widest) == 7


def test_a_file_that_breaks_a_rule_is_not_written(tmp_path, monkeypatch):
    text = 'name = "strict"\nextends = "tensorrt"\nrules = ["int32-bias"]'
    strict = Target.parse(text).resolved(HOST.targets())
    monkeypatch.setattr(PluginHost, "find_target", lambda self, name: strict)
    with pytest.raises(CheckError, match="breaks rules of target 'strict' in") as caught:
        compile_case(CASES["block"], tmp_path, target="strict")
    assert caught.value.hint == "--checks report writes it all the same, and tells every place"
    assert ".py:" in caught.value.where
    assert not (tmp_path / "block.onnx").exists()
    talk = Warnings()
    result = compile_case(CASES["block"], tmp_path, talk=talk, target="strict", checks="report")
    violations = result.as_json()["artifact"]["violations"]
    assert len(violations) == len(talk.heard) == 6
    assert violations[0]["rule"] == "int32-bias"
    assert all(".py:" in violation["line"] for violation in violations)
    assert (tmp_path / "block.onnx").exists()
