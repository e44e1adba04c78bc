"""An attention in a plan: its inputs, which kernels they take, and what all its launches share."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.backend import KERNEL_DTYPES, interprets
from slt_fast.ops.kernel_table import Row
from slt_fast.ops.launching import Plan, ceil_divide, power_of_two, precision, strided

MAX_WHOLE_ROW = 256  # keys for which one program holds all scores of a row
MAX_WHOLE_MAP = 64  # queries and keys that one program of the backward pass holds whole
Shape = tuple[int, int, int, int, int, int]  # B, heads, Nq, Nk, dk, dv


def regime(Nq: int, Nk: int, dtype: torch.dtype) -> str:
    """Returns the kernels for maps of this size: "whole_map", "whole_row" or "flash"."""
    if max(Nq, Nk) <= MAX_WHOLE_MAP:
        return "whole_map"
    # float32 takes twice the registers, so longer rows spill.
    longest = MAX_WHOLE_MAP if dtype == torch.float32 else MAX_WHOLE_ROW
    return "whole_row" if Nk <= longest else "flash"


def refusal(dtypes: set[torch.dtype], shape: Shape) -> str | None:
    """Returns why the kernels cannot take these tensors; None if they can."""
    B, heads, Nq, Nk, dk, dv = shape
    if len(dtypes) > 1:
        names = ", ".join(sorted(str(dtype) for dtype in dtypes))
        return f"found tensors of {names}, the kernels need one type"
    (dtype,) = dtypes
    if dtype not in KERNEL_DTYPES:
        return f"found {dtype}, the kernels take float32, float16 and bfloat16"
    if dtype == torch.bfloat16 and interprets():
        return f"found {dtype}, which Triton's interpreter multiplies as whole numbers"
    if dk % 16 or not 16 <= dk <= 128:
        return f"found {dk} key channels a head, the kernels take multiples of 16 up to 128"
    if dv % 16 or not 16 <= dv <= 512:
        return f"found {dv} value channels a head, the kernels take multiples of 16 up to 512"
    if min(B, heads, Nq, Nk) == 0:
        return "there is nothing to compute"
    return None


@dataclass(frozen=True)
class Attention:
    """One attention of a plan: stand-ins of its inputs, and the arguments of all its kernels."""

    plan: Plan  # takes the launches
    q: torch.Tensor  # [B, heads, Nq, dk], any strides
    k: torch.Tensor  # [B, heads, Nk, dk], of the same type
    v: torch.Tensor  # [B, heads, Nk, dv], of the same type
    bias: torch.Tensor | None  # broadcasts to [B, heads, Nq, Nk], or None; see pixel_attention
    scale: float  # factor on q k^T
    gamma: torch.Tensor | None = None  # scalar tensor that multiplies the output; None means 1

    @property
    def shape(self) -> Shape:
        """B, heads, Nq, Nk, dk, dv."""
        B, heads, Nq, dk = self.q.shape
        return B, heads, Nq, self.k.shape[2], dk, self.v.shape[3]

    @property
    def regime(self) -> str:
        """The kernels that these inputs take."""
        return regime(self.q.shape[2], self.k.shape[2], self.q.dtype)

    @property
    def bias_batches(self) -> int:
        """Batch entries of the bias."""
        return 1 if self.bias is None or self.bias.ndim < 4 else self.bias.shape[0]

    def blocks(self, name: str) -> dict[str, int]:
        """Returns a kernel's block sizes, not larger than these inputs need."""
        _, _, Nq, Nk, dk, dv = self.shape
        needed = {"BLOCK_Q": Nq, "BLOCK_K": Nk, "BLOCK_V": dv}
        blocks = self.row(name).blocks
        blocks = {side: min(size, power_of_two(needed[side])) for side, size in blocks.items()}
        return blocks | {"BLOCK_DK": power_of_two(dk)}

    def programs(self, name: str, *sides: str) -> int:
        """Returns how many programs a kernel needs if each takes one block of these sides."""
        B, heads, Nq, Nk, _, dv = self.shape
        sizes, blocks = {"BLOCK_Q": Nq, "BLOCK_K": Nk, "BLOCK_V": dv}, self.blocks(name)
        return B * heads * math.prod(ceil_divide(sizes[side], blocks[side]) for side in sides)

    def allocate_rows(self, name: str, *values: int) -> torch.Tensor:
        """Plans float32 memory [B, heads, *values, Nq] of values for each query."""
        B, heads, Nq, _ = self.q.shape
        rows = self.q.new_empty(B, heads, *values, Nq, dtype=torch.float32)
        return self.plan.allocate(name, rows)

    def launch(self, kernel: Any, name: str, num_programs: int, **arguments: Any) -> None:
        """Plans a launch of a kernel, by its name in the table, with its own arguments.

        They override those that all kernels share.
        """
        _, heads, Nq, Nk, dk, dv = self.shape
        bias = None
        if self.bias is not None:
            bias = strided(self.bias.expand(self.bias_batches, heads, Nq, Nk))
        common = {
            "q": strided(self.q),
            "k": strided(self.k),
            "bias": bias,
            "heads": heads,
            "Nq": Nq,
            "Nk": Nk,
            "bias_batches": self.bias_batches,
            "scale": self.scale,
            "DK": dk,
            "DV": dv,
            "PRECISION": precision(self.q.dtype),
            **self.blocks(name),
        }
        self.plan.launch(kernel, self.row(name), num_programs, **(common | arguments))

    def row(self, name: str) -> Row:
        """Returns a kernel's row of the table, for these inputs."""
        _, _, Nq, Nk, _, _ = self.shape
        size = max(Nq, Nk) if self.regime == "whole_map" else Nk
        architecture = kernel_table.architecture_of(self.plan.device)
        has_bias = self.bias is not None
        return kernel_table.find(name, architecture, self.q.element_size(), size, has_bias)
