"""The zoo's models do what is claimed of them, on data they were not trained on."""

import subprocess
import sys

import pytest
import rewrite_zoo
import torch
from rewrite_zoo import causal, checkpoints, collect, digits, docstrings, masked

POINTS = 0.01
"""Percentage points an accuracy may differ by; a single image is 0.19."""
RELATIVE = 1e-3
"""Part of itself a perplexity may differ by."""
AGREEMENT = 1e-3
"""Largest difference between logits of the eager and the exported model, in float32."""

MODELS = {model.name: model for model in rewrite_zoo.rewrite_models()}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small models gain nothing from more, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def zoo_model(name):
    if name.endswith("-digits"):
        pytest.importorskip("sklearn")
    return MODELS[name]


@every_model
def test_metric_is_reproduced(zoo_model):
    measured = zoo_model.evaluate(zoo_model.model())
    assert measured.keys() == zoo_model.metrics.keys()
    for metric, value in zoo_model.metrics.items():
        if metric == "perplexity":
            assert measured[metric] == pytest.approx(value, rel=RELATIVE)
        else:
            assert measured[metric] == pytest.approx(value, abs=POINTS)


@every_model
def test_metric_is_far_from_the_baseline(name):
    record = checkpoints.record(name)
    ((metric, value),) = record["metrics"].items()
    if metric == "accuracy":
        assert value >= 97
    elif metric == "masked_accuracy":
        assert value >= 2 * record["baseline"][metric]
    else:
        assert value <= record["baseline"][metric] / 2


@every_model
def test_model_is_in_eval_mode_and_leaves_the_random_state(zoo_model):
    before = torch.get_rng_state()
    model = zoo_model.model()
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in model.modules())


@every_model
def test_batch_norms_hold_trained_statistics(zoo_model):
    for module in zoo_model.model().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            channels = module.num_features
            assert not torch.allclose(module.running_mean, torch.zeros(channels))
            assert not torch.allclose(module.running_var, torch.ones(channels))
            assert not torch.allclose(module.weight, torch.ones(channels))


@every_model
def test_calibration_is_alike_in_structure_to_the_inputs(zoo_model):
    inputs = zoo_model.inputs()
    batches = list(zoo_model.calibration())
    assert len(inputs[0]) >= 2
    assert len(batches) == 8
    for batch in batches:
        assert isinstance(batch, tuple)
        assert [(tensor.dtype, tensor.ndim) for tensor in batch] == [
            (tensor.dtype, tensor.ndim) for tensor in inputs
        ]


@every_model
def test_exports_with_dynamic_sizes(zoo_model):
    model, inputs = zoo_model.model(), zoo_model.inputs()
    exported = torch.export.export(
        model, inputs, dynamic_shapes=zoo_model.dynamic_shapes, strict=False
    )
    program = exported.run_decompositions({}).module(check_guards=False)
    sizes = [{0: 3}, {0: 7}]
    if inputs[0].ndim == 2:
        sizes = [{0: 3, 1: 50}, {0: 5, 1: docstrings.LENGTH}]
    for size in sizes:
        resized = tuple(resize(tensor, size) for tensor in inputs)
        with torch.no_grad():
            torch.testing.assert_close(program(*resized), model(*resized), atol=AGREEMENT, rtol=0)


def resize(tensor, size):
    for dim, length in size.items():
        repeats = -(-length // tensor.shape[dim])
        tensor = torch.cat([tensor] * repeats, dim).narrow(dim, 0, length)
    return tensor


def test_digit_splits_are_disjoint_and_stratified():
    pytest.importorskip("sklearn")
    pixels, labels = digits.images()
    train, held_out = digits.split()
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(len(pixels)))
    shares = labels[held_out].bincount() / labels.bincount()
    assert shares.sub(digits.HELD_OUT).abs().max() < 0.01
    seen = {image.numpy().tobytes() for image in pixels[held_out]}
    for (batch,) in digits.calibration():
        assert not any(image.numpy().tobytes() in seen for image in batch)


def test_docstring_splits_are_disjoint():
    train = {text.tobytes() for text in docstrings.documents(held_out=False)}
    held_out = {text.tobytes() for text in docstrings.documents(held_out=True)}
    assert train and held_out and not train & held_out
    assert not set(collect.TRAINING) & set(docstrings.HELD_OUT)
    assert docstrings.corpus().keys() == {*collect.TRAINING, *docstrings.HELD_OUT}


def test_calibration_text_is_training_text():
    train = "".join(map(decode, docstrings.documents(held_out=False)))
    for (rows,) in causal.calibration():
        assert all(decode(row.numpy()) in train for row in rows)
    pieces = {decode(piece) for piece in masked.pieces(held_out=False)}
    for input_ids, attention_mask in masked.calibration():
        for row, mask in zip(input_ids, attention_mask, strict=True):
            assert any(matches(decode(row[mask.bool()].numpy()), piece) for piece in pieces)


def decode(tokens):
    return bytes(tokens.astype("uint8")).decode("ascii")


def matches(masked_text, text):
    hidden = chr(docstrings.MASK)
    return len(masked_text) == len(text) and all(
        a in (b, hidden) for a, b in zip(masked_text, text, strict=True)
    )


def test_masked_batches_have_real_padding():
    _, attention_mask = masked.inputs()
    assert attention_mask.min() == 0
    assert attention_mask[:, 0].min() == 1


def test_checkpoints_are_small():
    files = [path for path in checkpoints.FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    assert docstrings.CORPUS.stat().st_size <= 400_000
    for model in MODELS.values():
        assert 0 < model.size_bytes <= 2_000_000


def test_listing_the_zoo_is_cheap():
    script = (
        "import sys, rewrite_zoo; list(rewrite_zoo.rewrite_models()); "
        "sys.exit(bool({'sklearn', 'safetensors'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_missing_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits.images.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'rewrite-compiler\[zoo\]'"):
        digits.images()
