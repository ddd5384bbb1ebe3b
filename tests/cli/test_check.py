"""`rewrite check OUT.onnx --against MODEL` and `--target NAME`."""

import rewrite

from .conftest import call, linear_model


def test_check_runs_the_file_beside_the_model(int8, tiny):
    called = call("check", int8.file, "--against", tiny, "--json", "-q")
    assert called.code == 0, called.err
    value = called.json
    assert value["ok"] is True
    assert value["quantized"] is True
    assert value["min_sqnr_db"] == 10
    assert value["made_by"]["target"] == "portable"
    passes = [entry["pass"] for entry in value["ledger"]]
    assert passes[passes.index("calibrate") + 1] == "expand-attention"
    assert passes[-1] == "flatten-tokens"
    found = value["runtimes"]["onnxruntime"]
    assert found["agreement"]["sqnr_db"] > 20
    assert found["int8"]["fired"] == found["int8"]["eligible"] == 2
    assert set(value["metrics"]) >= {"eager", "onnxruntime"}
    assert set(value["recorded_metrics"]) == {"eager", "program", "deployed"}
    assert value["recorded_metrics"]["deployed"] == value["metrics"]["onnxruntime"]


def test_check_holds_a_float_file_to_more(floating, tiny):
    called = call("check", floating.file, "--against", tiny)
    assert called.code == 0, called.err
    lines = called.out.splitlines()
    maker = f"rewrite {rewrite.__version__}"
    assert lines[0] == f"file                {floating.file} (float, made by {maker} from {tiny})"
    assert lines[1].split() == ["fold-batch-norm:", "exact,", "error", lines[1].split()[-1]]
    assert any("as the model to" in line for line in lines)


def test_check_fails_against_another_model(floating, tiny):
    called = call("check", floating.file, "--against", f"{tiny}:other", "--json", "-q")
    assert called.code == 1
    assert called.json["ok"] is False
    assert called.json["error"]["exit_code"] == 1
    assert "(required: 60 dB)" in called.error[0]
    assert called.error[1] == f"  at: {floating.file}"


def test_the_floor_can_be_set(int8, tiny):
    called = call("check", int8.file, "--against", tiny, "--min-sqnr", "200", "-q")
    assert called.code == 1
    assert "(required: 200 dB)" in called.error[0]


def test_large_values_of_one_batch_hide_no_other(tmp_path):
    """Scales that fit the first calibration batch leave nothing of the others."""
    path, file = linear_model(tmp_path), tmp_path / "out.onnx"
    path.write_text(
        path.read_text()
        + "\n\ndef calibration():\n"
        + "    return [(torch.ones(2, 4) * 1e6,), (torch.randn(2, 4),)]\n"
    )
    assert call(path, "--preset", "int8", "-o", file, "-q", "--checks", "report").code == 0
    called = call("check", file, "--against", path, "--json", "-q")
    assert called.code == 1
    agreement = called.json["runtimes"]["onnxruntime"]["agreement"]
    assert agreement["sqnr_db"] > called.json["min_sqnr_db"] == 10
    worst = agreement["worst_batch"]
    assert worst["sqnr_db"] < 1
    assert f"to {worst['sqnr_db']:.1f} dB on {worst['name']} (required: 10 dB)" in called.error[0]
    (row,) = [x for x in call("check", file, "--against", path).out.splitlines() if "onnxr" in x]
    assert f"dB, {worst['name']} to {worst['sqnr_db']:.1f} dB, top-1" in row


SEVERAL = """
def inputs():
    torch.manual_seed(1)
    return (torch.randn(8, 4),)
"""


def test_large_values_and_ids_hide_no_other_output(tmp_path):
    forward = (
        "return {'logits': self.fc(x), 'boxes': x * 1e6,"
        " 'order': self.fc(x).argsort(-1), 'ids': (x > 0) + 30000}"
    )
    path, file = linear_model(tmp_path, forward=forward, more=SEVERAL), tmp_path / "out.onnx"
    passes = ("--passes", "insert-quantizers{bits=w2a2},calibrate", "--checks", "report")
    made = call(path, *passes, "-o", file, "-q")
    assert made.code == 0, made.err
    lines = made.out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if line.startswith("outputs")]
    told = lines[place].split(maxsplit=1)[1]
    assert told.endswith(" dB SQNR against the model's in 'logits', on the inputs of the checks")
    assert float(told.split()[0]) < 10
    assert lines[place + 1].strip().endswith(" % of the integers in 'order' equal")

    called = call("check", file, "--against", path, "--json", "-q")
    assert called.code == 1
    agreement = called.json["runtimes"]["onnxruntime"]["agreement"]
    assert agreement["output"] == agreement["worst_batch"]["output"] == "logits"
    assert agreement["integers"]["output"] == "order"
    assert agreement["sqnr_db"] < called.json["min_sqnr_db"] == 10
    assert " dB in 'logits' on the example inputs (required: 10 dB)" in called.error[0]


def test_integers_of_a_float_file_are_checked(tmp_path):
    forward = "return {'out': self.fc(x), 'ids': (x > 0) + 30000}"
    path, file = linear_model(tmp_path, forward=forward, more=SEVERAL), tmp_path / "out.onnx"
    assert call(path, "--preset", "float", "-o", file, "-q").code == 0
    assert call("check", file, "--against", path, "-q").code == 0
    path.write_text(path.read_text().replace("30000", "30001"))
    called = call("check", file, "--against", path, "-q")
    assert called.code == 1
    assert "only in 0.00 % of the integers in 'ids' (required: 99 %)" in called.error[0]


def test_a_file_that_keeps_the_rules_of_a_target(int8):
    called = call("check", int8.file, "--target", "portable", "--json", "-q")
    assert called.code == 0, called.err
    value = called.json
    assert value["ok"] is True and value["violations"] == []
    assert (value["file"], value["target"]) == (str(int8.file), "portable")
    assert "conv-output" in value["rules"]
    count = len(value["rules"])
    lines = call("check", int8.file, "--target", "portable").out.splitlines()
    assert lines == [f"portable: {count} of {count} rules are kept"]


def test_a_file_that_breaks_rules_names_the_nodes(int8):
    called = call("check", int8.file, "--target", "tensorrt", "--json", "-q")
    assert called.code == 1
    value = called.json
    assert value["ok"] is False and value["error"]["exit_code"] == 1
    broken = {violation["rule"] for violation in value["violations"]}
    assert {"no-unsigned", "float-bias"} <= broken
    assert all(v["node"] and v["message"] and v["source"] for v in value["violations"])
    assert called.error[0].startswith("error: the file breaks rules of target 'tensorrt' in ")
    assert str(value["violations"][0]["node"]) in called.error[0]
    lines = call("check", int8.file, "--target", "tensorrt").out.splitlines()
    assert len(lines) == 1 + len(value["violations"])
    assert any("keep it float [float-bias]" in line for line in lines)


def test_a_file_is_checked_against_both(int8, tiny):
    called = call("check", int8.file, "--target", "portable", "--against", tiny, "--json", "-q")
    assert called.code == 0, called.err
    assert called.json["violations"] == [] and called.json["runtimes"]["onnxruntime"]


def test_a_file_is_checked_against_something(int8):
    called = call("check", int8.file)
    assert called.code == 2
    assert called.error[-1] == "  hint: --against MODEL, or --target NAME"
    called = call("check", int8.file, "--target", "tensort")
    assert called.error[-1] == "  hint: did you mean 'tensorrt'?"


def test_a_model_of_another_form_is_told(int8, tmp_path):
    path = linear_model(tmp_path, forward="return {'y': self.fc(x)}")
    called = call("check", int8.file, "--against", path, "-q")
    assert called.code == 1
    assert called.error[0] == "error: the file's outputs are output; the model's are y"


def test_no_onnx_file(tiny, tmp_path):
    path = tmp_path / "text.onnx"
    assert call("check", path, "--against", tiny).code == 2
    path.write_text("this is no model")
    called = call("check", path, "--against", tiny)
    assert called.code == 2
    assert called.error[0].startswith(f"error: '{path}' is not an ONNX file")


def test_an_empty_file_and_a_folder_are_told(tiny, tmp_path):
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    for against in (("--target", "portable"), ("--against", tiny)):
        called = call("check", path, *against)
        assert called.code == 2
        assert called.error[0] == f"error: '{path}' is not an ONNX file: it holds no graph"
        called = call("check", tmp_path, *against)
        assert called.code == 2
        assert called.error[0] == f"error: '{tmp_path}' is a folder"


def test_check_holds_a_float16_file_to_what_its_weights_can_do(tmp_path):
    path, file = linear_model(tmp_path), tmp_path / "half.onnx"
    passes = "halve-floats{form=compute}"
    assert call(path, "--passes", passes, "-o", file, "-q").code == 0
    found = call("check", file, "--against", path, "--json", "-q").json
    assert found["ok"] is True
    assert found["min_sqnr_db"] == 40
