"""From a training run's checkpoint to ONNX files that anybody can deploy."""
