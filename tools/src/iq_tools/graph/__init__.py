"""The tower as a graph: SavedModel to ONNX, FP16, INT8, and the proof that scores stay."""
