"""Any quantizer's file in its runtime: runs it, and counts the kernels that it chose."""

from pathlib import Path

FLOAT = {"Conv", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul", "NhwcFusedConv"}
LAYERS = {"Convolution", "FullyConnected", "MatMul"}


class OnnxRuntimeFile:
    """An ONNX file in ONNX Runtime, as `InferenceSession` opens it by default."""

    def __init__(self, path, threads):
        from rewrite.runtimes import get_runtime

        self.path = Path(path)
        self.threads = threads
        self.loaded = get_runtime("onnxruntime").load(path, threads)

    @property
    def megabytes(self):
        return self.path.stat().st_size / 1e6

    def run(self, feeds):
        return next(iter(self.loaded.run(feeds).values()))

    def kernels(self):
        """Return how many compute kernels are int8, and how many there are."""
        from rewrite.runtimes.onnxruntime import INT8_KERNELS, optimized_graph

        kinds = [node.op_type for node in optimized_graph(self.path, self.threads)]
        int8 = sum(kind in INT8_KERNELS for kind in kinds)
        return int8, int8 + sum(kind in FLOAT for kind in kinds)


class OpenVinoFile:
    """An ONNX file or an IR in OpenVINO, tuned for latency, its float part in float32."""

    def __init__(self, path, threads):
        import openvino

        self.path = Path(path)
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.compiled = openvino.Core().compile_model(str(path), "CPU", config)
        self.request = self.compiled.create_infer_request()

    @property
    def megabytes(self):
        weights = self.path.with_suffix(".bin") if self.path.suffix == ".xml" else self.path
        return weights.stat().st_size / 1e6

    def run(self, feeds):
        named = {name: port for port in self.compiled.inputs for name in port.get_names()}
        self.request.infer({k: v for k, v in feeds.items() if k in named})
        return self.request.get_output_tensor(0).data.copy()

    def kernels(self):
        """Return how many compute layers are int8, and how many there are."""
        infos = [op.get_rt_info() for op in self.compiled.get_runtime_model().get_ordered_ops()]
        layers = [i for i in infos if str(i["layerType"].value) in LAYERS]
        int8 = sum(str(i["primitiveType"].value).lower().endswith("_i8") for i in layers)
        return int8, len(layers)
