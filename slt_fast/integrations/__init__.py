"""The fused attention inside models that others wrote.

use_pixel_attention(model) swaps it into torchvision's Swin and ViT and into nn.MultiheadAttention.
attend_maps and fused_sagan_block are for SAGAN and non-local blocks, which have no common class.
Outputs and gradients stay the same up to rounding. Nothing is patched at import.
"""

from torch import nn
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from slt_fast.integrations.multihead import FusedMultiheadAttention, check_multihead
from slt_fast.integrations.sagan import attend_maps, fused_sagan_block
from slt_fast.integrations.swin import FusedShiftedWindowAttention, FusedShiftedWindowAttentionV2
from slt_fast.ops.backend import BACKENDS

__all__ = ["attend_maps", "fused_sagan_block", "use_pixel_attention"]

_FUSED = {
    nn.MultiheadAttention: FusedMultiheadAttention,
    ShiftedWindowAttention: FusedShiftedWindowAttention,
    ShiftedWindowAttentionV2: FusedShiftedWindowAttentionV2,
}


def use_pixel_attention(model: nn.Module, *, backend: str = "auto") -> int:
    """Swaps the fused attention into a model, in place.

    Swaps modules of exactly these classes, not of derived ones: nn.MultiheadAttention (as in
    torchvision's ViT) and torchvision's ShiftedWindowAttention and ShiftedWindowAttentionV2 (Swin).
    Only their class changes; parameters, their names, hooks and state dicts stay. A module with
    attention dropout raises an error in training mode.

    nn.TransformerEncoderLayer bypasses its attention, swapped or not, in evaluation without
    gradients, unless torch.backends.mha.set_fastpath_enabled(False) was called. For torch.fx, and
    so for torchvision's create_feature_extractor, name the swapped classes as leaf_modules.

    Args:
        model: Contains such modules, or is one.
        backend: As for slt_fast.ops.pixel_attention.

    Returns:
        How many modules were swapped.

    Raises:
        TypeError: The model is not a module.
        ValueError: Nothing to swap, an attention of a kind that cannot be swapped (then none is),
            or an unknown backend.
    """
    if backend not in BACKENDS:
        found = f"found backend {backend!r}; expected one of {BACKENDS}"
        raise ValueError(f"use_pixel_attention: {found}")
    if not isinstance(model, nn.Module):
        found = f"found a model of type {type(model).__name__}; expected a torch.nn.Module"
        raise TypeError(f"use_pixel_attention: {found}")
    modules = {name: part for name, part in model.named_modules() if type(part) in _FUSED}
    if not modules:
        expected = ", ".join(original.__name__ for original in _FUSED)
        done = sum(type(part) in _FUSED.values() for part in model.modules())
        if done:
            expected += f" (it is done: {done} are swapped already)"
        raise ValueError(
            f"use_pixel_attention: found nothing to swap in {type(model).__name__}; "
            f"expected a module of class {expected}"
        )
    for name, module in modules.items():
        if isinstance(module, nn.MultiheadAttention):
            check_multihead(module, name or type(model).__name__)
    for module in modules.values():
        module.__class__ = _FUSED[type(module)]
        module.backend = backend
    return len(modules)
