"""Peak memory of calibrating, as a multiple of plain inference, for every calibrator.

The model is an encoder of 12 layers, 768 wide, on texts of 512 tokens. Inference is the eager model
in a process that imports nothing else. A calibration is the loop over the same batches in a process
of its own, after capture and marking; how high those two go is printed beside it.

    python benchmarks/bench_calibration.py [--samples 512] [--batch 8] [METHOD ...]
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

METHODS = ("min-max", "moving-average", "percentile", "entropy", "mse", "auto")
LAYERS, WIDTH, HEADS, TOKENS, WORDS = 12, 768, 12, 512, 30522
LIMIT = 1.5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--child")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.samples, arguments.batch)
        return
    print(f"{LAYERS} layers, {WIDTH} wide, {TOKENS} tokens")
    print(f"{arguments.samples} samples, {arguments.batch} at a time")
    base = measure("inference", arguments)
    print(f"{'inference':16} {base['peak_mb']:7.0f} MB  1.00 x  {base['seconds']:7.1f} s")
    worst = 0.0
    for method in arguments.methods:
        found = measure(method, arguments)
        ratio = found["peak_mb"] / base["peak_mb"]
        worst = max(worst, ratio)
        print(
            f"{method:16} {found['peak_mb']:7.0f} MB  {ratio:.2f} x  {found['seconds']:7.1f} s  "
            f"{found['tensors']} tensors, state {found['state_kb']:.0f} kB, "
            f"capture {found['capture_mb']:.0f} MB"
        )
    print(f"worst {worst:.2f} x, limit {LIMIT} x")
    sys.exit(worst > LIMIT)


def measure(what, arguments):
    command = [sys.executable, __file__, "--child", what]
    command += ["--samples", str(arguments.samples), "--batch", str(arguments.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def child(what, samples, batch):
    if what == "inference":
        result = infer(samples, batch)
    else:
        result = calibrate(what, samples, batch)
    print(json.dumps({**result, "peak_mb": peak_mb()}))


def infer(samples, batch):
    import torch

    model = encoder()
    started = time.perf_counter()
    with torch.no_grad():
        for inputs in batches(samples, batch):
            model(**inputs)
    return {"seconds": time.perf_counter() - started}


def calibrate(method, samples, batch):
    import rewrite_plugins.calibrate as calibrate_module

    from rewrite import Context, UsageError, capture
    from rewrite.plugin_host import PluginHost
    from rewrite.quantization import observe

    host = PluginHost()
    program = capture(encoder(), next(batches(2, 2, tokens=16)), shapes())
    context = Context(
        target=host.find_target("portable"),
        calibration=lambda: batches(samples, batch),
        calibrators=dict(host.calibrators()),
    )
    for name in ("expand-attention", "insert-quantizers"):
        program = prepared(host.find_pass(name)(), program, context)
    capture_mb = peak_mb()
    forget_peak()
    found = {}

    def only_observe(program, target, bounds):
        found.update(bounds)
        raise UsageError("observed")

    # The loop over the data is what is measured: freezing comes after it, once.
    calibrate_module.freeze = only_observe
    estimators = kept(observe)
    started = time.perf_counter()
    try:
        calibrate_module.Calibrate(method=method).run(program, context)
    except UsageError as stopped:
        assert stopped.what == "observed", stopped
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "tensors": len(found),
        "state_kb": kilobytes(*estimators),
        "capture_mb": capture_mb,
    }


def kilobytes(estimators):
    """Return how much estimators have learnt."""
    values = [value for state in estimators.states().values() for value in state.values()]
    return sum(value.nbytes if hasattr(value, "nbytes") else 8 for value in values) / 1000


def kept(observe):
    """Return a list that will hold the estimators of the next observation."""
    made = []
    plain = observe._Observation.__init__

    def init(self, *args):
        plain(self, *args)
        made.append(self.estimators)

    observe._Observation.__init__ = init
    return made


def prepared(pass_, program, context):
    twin = program.clone()
    pass_.run(twin, context)
    twin.ledger.append({"pass": pass_.name})
    return twin


def shapes():
    from torch.export import Dim

    dims = {0: Dim("batch", max=64), 1: Dim("tokens", max=TOKENS)}
    return {"ids": dims, "attention_mask": dims}


def batches(samples, batch, tokens=TOKENS):
    """Yield texts of half to all of the tokens, padded."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for _ in range(samples // batch):
        ids = torch.randint(1, WORDS, (batch, tokens), generator=generator)
        lengths = torch.randint(tokens // 2, tokens + 1, (batch, 1), generator=generator)
        mask = torch.arange(tokens) < lengths
        yield {"ids": ids * mask, "attention_mask": mask}


def encoder():
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)
            self.up = nn.Linear(WIDTH, 4 * WIDTH)
            self.down = nn.Linear(4 * WIDTH, WIDTH)
            self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))

        def forward(self, x, mask):
            b, s, _ = x.shape
            parts = self.qkv(x).reshape(b, s, 3, HEADS, WIDTH // HEADS).unbind(2)
            q, k, v = (p.transpose(1, 2) for p in parts)
            y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            x = self.norms[0](x + self.out(y.transpose(1, 2).reshape(b, s, WIDTH)))
            return self.norms[1](x + self.down(nn.functional.gelu(self.up(x))))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(WORDS, WIDTH)
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

        def forward(self, ids, attention_mask):
            mask = attention_mask[:, None, None, :]
            x = self.embed(ids)
            for layer in self.layers:
                x = layer(x, mask)
            return x

    torch.manual_seed(0)
    return Encoder().eval()


def peak_mb():
    """Return the largest resident memory so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak():
    """Give freed memory back, and begin to measure anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
