"""From a rewritten program to an ONNX file."""
