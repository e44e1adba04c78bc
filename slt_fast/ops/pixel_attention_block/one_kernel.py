"""When one kernel computes the block's forward pass, and how it is planned.

One program computes whole maps, so queries, keys and values need not be read again. A wave of
programs takes the same time whether it fills the GPU or not, so few maps, or a few more than a wave
holds, take two kernels. The times are predicted for an H100 and 512 channels; none was measured.
"""

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.launching import (
    Described,
    Plan,
    can_describe,
    ceil_divide,
    forget_plans,
    power_of_two,
    precision,
)

KEY_CHANNELS = 64  # also the channels of a block of values
MAX_CHANNELS, MAX_POSITIONS = 512, 64
MULTIPROCESSORS = 132  # of an H100 SXM, each of which holds one program
WAVE = 29.0  # microseconds of a program
POSITION = 0.2 / 49  # microseconds of two kernels for a position of a map
GAIN = 0.9  # one kernel has to take at most this share of the time of two
_choice: bool | None = None


def set_one_kernel(choice: bool | None) -> None:
    """Sets whether one kernel computes the block's forward pass, for tests and measurements.

    Args:
        choice: True for one kernel if it can take the tensors, False for two; None, as at first,
            for the predicted times to decide.
    """
    global _choice
    _choice = choice
    forget_plans()


def takes_one_kernel(
    device: torch.device,
    x: torch.Tensor,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor | None,
    positional_encoding: torch.Tensor | None,
    num_heads: int,
) -> bool:
    """Returns whether one kernel computes maps [B, C, H, W] whose addresses are aligned."""
    B, C, H, W = x.shape
    same_type = positional_encoding is None or positional_encoding.dtype == x.dtype
    fits = (
        kernel_table.architecture_of(device) // 10 == 9
        and num_heads == 1
        and len(qkv_weight) == 2 * KEY_CHANNELS + C
        and C % KEY_CHANNELS == 0
        and max(C / MAX_CHANNELS, H * W / MAX_POSITIONS) <= 1
        and same_type
        and x.dtype == qkv_weight.dtype != torch.float32
        and (qkv_bias is None or qkv_bias.is_contiguous())
        and W * x.stride(3) == x.stride(2)
        and can_describe(_positions(x))
        and can_describe(qkv_weight[None, None])
    )
    return fits and (_is_faster(device, B, H * W) if _choice is None else _choice)


def _is_faster(device: torch.device, B: int, N: int) -> bool:
    at_once = MULTIPROCESSORS
    if device.type == "cuda":
        at_once = torch.cuda.get_device_properties(device).multi_processor_count
    waves = ceil_divide(ceil_divide(B, _maps(N)), at_once)
    return WAVE * waves <= GAIN * POSITION * N * B


def _maps(N: int) -> int:
    """Returns how many maps a program computes."""
    row = kernel_table.find("block_forward", 90, 2)
    return row.blocks["BLOCK_ROWS"] // power_of_two(N)


def repeated_encoding(plan: Plan, encoding: torch.Tensor | None) -> torch.Tensor | None:
    """Plans a copy [maps of a program, N, C] of an encoding [C, H, W]."""
    if encoding is None:
        return None
    by_position = encoding.permute(1, 2, 0)
    H, W, C = by_position.shape
    copy = plan.allocate("encoding", by_position.new_empty(_maps(H * W), H, W, C))
    plan.call(torch.Tensor.copy_, copy, by_position)
    return copy.flatten(1, 2)


def add_block_forward(
    plan: Plan,
    tensors: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    table: torch.Tensor | None,
    encoding: torch.Tensor | None,
    qkv: torch.Tensor | None,
    out: torch.Tensor,
    scale: float,
) -> None:
    """Plans the whole forward pass.

    Args:
        plan: The plan that the launch is added to.
        tensors: Maps [B, C, H, W], qkv_weight and gamma.
        table: [N, rows] or [rows], contiguous, added to queries, keys and values; or None.
        encoding: [maps of a program, N, C], added to the residual; or None.
        qkv: [B, N, rows], written; None if no backward pass needs it.
        out: [B, C, H, W], written.
        scale: Factor on q k^T.
    """
    from slt_fast.ops.pixel_attention_block.block_forward_kernel import block_forward_kernel

    x, qkv_weight, gamma = tensors
    B, C, H, W = x.shape
    N = H * W
    maps, positions, channels = _maps(N), power_of_two(N), power_of_two(C)
    block = (maps, 1, positions, KEY_CHANNELS)
    x = _positions(x)
    plan.launch(
        block_forward_kernel,
        kernel_table.find("block_forward", 90, qkv_weight.element_size()),
        ceil_divide(B, maps),
        x=Described(x, (maps, 1, positions, channels)),
        x_blocks=Described(x, block),
        weight=Described(qkv_weight[None, None], (1, 1, KEY_CHANNELS, channels)),
        table=table,
        encoding=None if encoding is None else Described(encoding[:, None], block),
        gamma=gamma,
        qkv=None if qkv is None else Described(qkv[:, None], block),
        out=Described(_positions(out), block),
        N=N,
        scale=scale,
        one=1.0,
        CHANNELS=C,
        TABLE_STRIDE=0 if table is None or table.ndim == 1 else len(qkv_weight),
        BLOCK_CHANNELS=channels,
        BLOCK_COLUMNS=KEY_CHANNELS,
        BLOCK_POSITIONS=positions,
        PRECISION=precision(qkv_weight.dtype),
    )


def _positions(maps: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] -> [B, 1, N, C], a view."""
    return maps.permute(0, 2, 3, 1).flatten(1, 2)[:, None]
