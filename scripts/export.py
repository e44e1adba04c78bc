"""Writes a trained model as ONNX and by torch.export. The same as slt-export."""

from slt_fast.commands.export import entry

if __name__ == "__main__":
    entry()
