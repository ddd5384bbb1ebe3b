"""Quantization: specs, marker operators with ONNX arithmetic, and where they go."""
