"""Trained networks as files for other programs: ONNX with pre- and postprocessing, or safetensors."""
