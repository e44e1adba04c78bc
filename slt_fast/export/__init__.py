"""Trained models as graphs for other programs: torch.export and ONNX."""
