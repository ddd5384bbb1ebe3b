"""Quantizers side by side: each turns a model file of benchmarks/models into an int8 file.

A module has `LABEL` and `quantize(module, target, folder)`, which returns the file and the seconds
of what is its own: observing and quantizing, without the float export. One with `ONLY`
is for those models.
"""

NAMES = ("ours", "ours_budget", "onnxruntime_static", "nncf_quantize", "torchao_pt2e")
