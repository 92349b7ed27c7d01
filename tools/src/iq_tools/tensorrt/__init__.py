"""TensorRT plans: built from the ONNX graph, compared with it, put where Triton looks."""
