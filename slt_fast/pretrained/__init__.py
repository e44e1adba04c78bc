"""Trained models without their runs: the one that comes with slt_fast, and those passed on.

A folder holds what load_model reads and a card, which is also the layout of the Hugging Face Hub:

    model.safetensors       weights and buffers
    model.json              recipe, data set, vocabularies, flow parameters, version
    README.md               model card: training data, scores, limits
"""

from slt_fast.pretrained.card import DRAWN_SIGNER_ONLY as SHIPPED_KNOWS
from slt_fast.pretrained.card import model_card
from slt_fast.pretrained.folder import SHIPPED, Dtype, fetch_pretrained, save_pretrained

__all__ = [
    "SHIPPED",
    "SHIPPED_KNOWS",
    "Dtype",
    "fetch_pretrained",
    "model_card",
    "save_pretrained",
]
