"""Starts the attention kernels: which of them, on how many programs, into which memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from slt_fast.ops import kernel_table
from slt_fast.ops.backend import KERNEL_DTYPES
from slt_fast.ops.kernel_table import Row

MAX_WHOLE_ROW = 256  # keys of which one program holds all scores of a row
MAX_WHOLE_MAP = 64  # queries and keys that one program of the backward pass holds whole
FULL_CHIP = 264  # programs that keep a large GPU busy: two for each of 132 multiprocessors
Shape = tuple[int, int, int, int, int, int]  # B, heads, Nq, Nk, dk, dv


def regime(Nq: int, Nk: int, dtype: torch.dtype) -> str:
    """Which kernels maps of this size and type take: "whole_map", "whole_row" or "flash"."""
    if max(Nq, Nk) <= MAX_WHOLE_MAP:
        return "whole_map"
    # Of float32, which takes twice the registers, longer rows spill.
    longest = MAX_WHOLE_MAP if dtype == torch.float32 else MAX_WHOLE_ROW
    return "whole_row" if Nk <= longest else "flash"


def forward_name(kind: str, *, has_residual: bool) -> str:
    """The forward kernel's name in the table; a residual takes registers of its own."""
    name = "flash_forward" if kind == "flash" else "whole_row_forward"
    return f"{name}_residual" if has_residual else name


def refusal(dtypes: set[torch.dtype], shape: Shape) -> str | None:
    """Why the kernels cannot take these tensors; None if they can."""
    B, heads, Nq, Nk, dk, dv = shape
    if len(dtypes) > 1:
        names = ", ".join(sorted(str(dtype) for dtype in dtypes))
        return f"found tensors of {names}, the kernels need one type"
    (dtype,) = dtypes
    if dtype not in KERNEL_DTYPES:
        return f"found {dtype}, the kernels take float32, float16 and bfloat16"
    if dk % 16 or not 16 <= dk <= 128:
        return f"found {dk} key channels a head, the kernels take multiples of 16 up to 128"
    if dv % 16 or not 16 <= dv <= 512:
        return f"found {dv} value channels a head, the kernels take multiples of 16 up to 512"
    if min(B, heads, Nq, Nk) == 0:
        return "there is nothing to compute"
    return None


@dataclass(frozen=True)
class Attention:
    """The inputs of one attention, with what all of its kernels are told.

    Args:
        q: [B, heads, Nq, dk], any strides; k and v likewise, of the same type.
        k: [B, heads, Nk, dk].
        v: [B, heads, Nk, dv].
        bias: Broadcasts to [B, heads, Nq, Nk], or None; see pixel_attention.
        scale: Factor on q k^T.
        gamma: Scalar tensor that multiplies the output; None means 1.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    gamma: torch.Tensor | None = None

    @property
    def shape(self) -> Shape:
        """B, heads, Nq, Nk, dk, dv."""
        B, heads, Nq, dk = self.q.shape
        return B, heads, Nq, self.k.shape[2], dk, self.v.shape[3]

    @property
    def regime(self) -> str:
        """Which kernels these inputs take."""
        _, _, Nq, Nk, _, _ = self.shape
        return regime(Nq, Nk, self.q.dtype)

    @property
    def bias_batches(self) -> int:
        """Batch entries of the bias."""
        return 1 if self.bias is None or self.bias.ndim < 4 else self.bias.shape[0]

    def expanded_bias(self) -> torch.Tensor | None:
        """The bias as a view of [bias_batches, heads, Nq, Nk]."""
        if self.bias is None:
            return None
        _, heads, Nq, Nk, _, _ = self.shape
        return self.bias.expand(self.bias_batches, heads, Nq, Nk)

    def row(self, kernel: str, device: torch.device | None = None) -> Row:
        """The kernel's row in the table, for the device of the tensors or another one."""
        architecture = kernel_table.architecture_of(device or self.q.device)
        _, _, Nq, Nk, _, _ = self.shape
        size = max(Nq, Nk) if self.regime == "whole_map" else Nk
        is_biased = self.bias is not None
        return kernel_table.find(kernel, architecture, self.q.element_size(), size, is_biased)

    def launch(self, kernel, name: str, num_programs: int, **arguments) -> None:
        """Starts a kernel with what all of them take and its own arguments."""
        B, heads, Nq, Nk, dk, dv = self.shape
        row = self.row(name)
        common = {
            "q": strided(self.q),
            "k": strided(self.k),
            "bias": None if self.bias is None else strided(self.expanded_bias()),
            "heads": heads,
            "Nq": Nq,
            "Nk": Nk,
            "bias_batches": self.bias_batches,
            "DK": dk,
            "DV": dv,
            "PRECISION": precision(self.q.dtype),
            **self.blocks(row),
        }
        kernel_table.launch(kernel, num_programs, row, self.q.device, **common, **arguments)

    def blocks(self, row: Row) -> dict[str, int]:
        """The row's blocks, not larger than these tensors need."""
        _, _, Nq, Nk, dk, dv = self.shape
        needed = {"BLOCK_Q": Nq, "BLOCK_K": Nk, "BLOCK_V": dv}
        blocks = {name: min(size, power_of_two(needed[name])) for name, size in row.blocks.items()}
        return blocks | {"BLOCK_DK": power_of_two(dk)}


def forward(
    attention: Attention,
    *,
    residual: torch.Tensor | None = None,
    encoding: torch.Tensor | None = None,
    out: torch.Tensor,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Computes the output, with gamma and the residual where there is one.

    Args:
        attention: The inputs.
        residual: [B, heads, Nq, dv], what is added to gamma times the attention; None for nothing.
        encoding: Broadcast to [B, heads, Nq, dv], added to the residual; None for nothing.
        out: [B, heads, Nq, dv], written.

    Returns:
        What the backward pass of the flash kernels needs, else None: the attention's own output
        (out itself where there is no residual) and each row's statistics, float32
        [B, heads, Nq].
    """
    from slt_fast.ops.pixel_attention import forward_kernels as kernels

    B, heads, Nq, Nk, _, dv = attention.shape
    arguments = {
        "v": strided(attention.v),
        "residual": None if residual is None else strided(residual),
        "encoding": None if encoding is None else strided(encoding),
        "gamma": attention.gamma,
        "out": strided(out),
        "scale": attention.scale,
    }
    is_flash = attention.regime == "flash"
    name = forward_name(attention.regime, has_residual=residual is not None)
    blocks = attention.blocks(attention.row(name))
    num_programs = B * heads * ceil_divide(Nq, blocks["BLOCK_Q"])
    value_blocks = ceil_divide(dv, blocks["BLOCK_V"])
    if not is_flash:
        splits = max(1, min(value_blocks, FULL_CHIP // num_programs))
        kernel = kernels.whole_row_forward_kernel
        attention.launch(kernel, name, num_programs * splits, value_splits=splits, **arguments)
        return None, None
    attended = None if residual is None else empty_token_major(attention.q, *out.shape)
    row_statistics = torch.empty(B, heads, 2, Nq, dtype=torch.float32, device=out.device)
    attention.launch(
        kernels.flash_forward_kernel,
        name,
        num_programs * value_blocks,
        attended=None if attended is None else strided(attended),
        row_statistics=row_statistics,
        **arguments,
    )
    return out if residual is None else attended, row_statistics


@dataclass(frozen=True)
class Gradients:
    """Where the gradients of q, k and v are written, and what comes with them.

    Args:
        dq: [B, heads, Nq, dk], any strides; dk and dv likewise.
        dk: [B, heads, Nk, dk].
        dv: [B, heads, Nk, dv].
    """

    dq: torch.Tensor
    dk: torch.Tensor
    dv: torch.Tensor


def backward(
    attention: Attention,
    gradient: torch.Tensor,
    into: Gradients,
    *,
    attended: torch.Tensor | None = None,
    row_statistics: torch.Tensor | None = None,
    needs_dbias: bool = False,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Writes the gradients of q, k and v.

    Args:
        attention: The inputs of the forward pass.
        gradient: [B, heads, Nq, dv], any strides: of the output, gamma not applied.
        into: Where they are written.
        attended: What `forward` returned; so is row_statistics.
        row_statistics: See there.
        needs_dbias: Whether the bias's gradient is wanted.

    Returns:
        delta, float32 [B, heads, Nq], whose sum is gamma's gradient (None where nobody needs it),
        and the bias's gradient or None.
    """
    from slt_fast.ops.pixel_attention import backward_dq_kernels as kernels
    from slt_fast.ops.pixel_attention.backward_whole_map_kernel import whole_map_backward_kernel

    B, heads, Nq, Nk, _, _ = attention.shape
    kind = attention.regime
    arguments = {
        "v": strided(attention.v),
        "gradient": strided(gradient),
        "gamma": attention.gamma,
        "scale": attention.scale,
        "dq": strided(into.dq),
    }
    rows = {"dtype": torch.float32, "device": gradient.device}
    delta = None
    if kind != "whole_map" or needs_dbias or attention.gamma is not None:
        delta = torch.empty(B, heads, Nq, **rows)
    if kind == "whole_row" or (kind == "whole_map" and needs_dbias):
        row_statistics = torch.empty(B, heads, 2, Nq, **rows)
    statistics = {"row_statistics": row_statistics, "delta": delta}
    if kind == "whole_map":
        outputs = {"dk": strided(into.dk), "dv": strided(into.dv)}
        kernel = whole_map_backward_kernel
        attention.launch(
            kernel, "whole_map_backward", B * heads, **statistics, **outputs, **arguments
        )
    else:
        if kind == "flash":
            name, kernel = "flash_dq", kernels.flash_dq_kernel
            arguments["attended"] = strided(attended)
        else:
            name, kernel = "whole_row_dq", kernels.whole_row_dq_kernel
        blocks = attention.blocks(attention.row(name))
        num_programs = B * heads * ceil_divide(Nq, blocks["BLOCK_Q"])
        attention.launch(kernel, name, num_programs, **statistics, **arguments)
        _launch_key_gradients(attention, gradient, into, statistics)
    dbias = _bias_gradient(attention, gradient, statistics) if needs_dbias else None
    return delta, dbias


def _launch_key_gradients(
    attention: Attention, gradient: torch.Tensor, into: Gradients, statistics: dict
) -> None:
    from slt_fast.ops.pixel_attention import backward_dk_dv_kernels as kernels

    B, heads, _, Nk, _, dv = attention.shape
    arguments = {
        "gradient": strided(gradient),
        "gamma": attention.gamma,
        "scale": attention.scale,
    }
    blocks = attention.blocks(attention.row("dk"))
    attention.launch(
        kernels.dk_kernel,
        "dk",
        B * heads * ceil_divide(Nk, blocks["BLOCK_K"]),
        v=strided(attention.v),
        dk=strided(into.dk),
        **statistics,
        **arguments,
    )
    blocks = attention.blocks(attention.row("dv"))
    value_blocks = ceil_divide(dv, blocks["BLOCK_V"])
    attention.launch(
        kernels.dv_kernel,
        "dv",
        B * heads * ceil_divide(Nk, blocks["BLOCK_K"]) * value_blocks,
        dv=strided(into.dv),
        row_statistics=statistics["row_statistics"],
        **arguments,
    )


def _bias_gradient(attention: Attention, gradient: torch.Tensor, statistics: dict) -> torch.Tensor:
    from slt_fast.ops.pixel_attention.backward_dbias_kernel import dbias_kernel

    B, heads, Nq, Nk, _, _ = attention.shape
    shared = attention.bias_batches
    blocks = attention.blocks(attention.row("dbias"))
    tiles = shared * heads * ceil_divide(Nq, blocks["BLOCK_Q"]) * ceil_divide(Nk, blocks["BLOCK_K"])
    groups = max(1, min(B // shared, FULL_CHIP // tiles))
    maps_per_program = ceil_divide(B // shared, groups)
    groups = ceil_divide(B // shared, maps_per_program)
    partial = torch.empty(
        groups, shared, heads, Nq, Nk, dtype=torch.float32, device=gradient.device
    )
    attention.launch(
        dbias_kernel,
        "dbias",
        groups * tiles,
        v=strided(attention.v),
        gradient=strided(gradient),
        partial=partial,
        B=B,
        maps_per_program=maps_per_program,
        scale=attention.scale,
        **statistics,
    )
    bias = attention.bias
    return partial.sum(0).sum_to_size(bias.shape).to(bias.dtype)


def new_forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The output, and what the flash kernels save of the rows' sums."""
    out = empty_token_major(q, *q.shape[:3], v.shape[3])
    _, row_statistics = forward(Attention(q, k, v, bias, scale), out=out)
    return out, row_statistics


def new_backward(
    gradient: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor | None,
    row_statistics: torch.Tensor | None,
    scale: float,
    needs_dbias: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Gradients of q, k, v and bias; out and row_statistics are those of a flash forward pass."""
    into = Gradients(torch.empty_like(q), torch.empty_like(k), torch.empty_like(v))
    _, dbias = backward(
        Attention(q, k, v, bias, scale),
        gradient,
        into,
        attended=out,
        row_statistics=row_statistics,
        needs_dbias=needs_dbias,
    )
    return into.dq, into.dk, into.dv, dbias


def strided(tensor: torch.Tensor) -> tuple:
    """A tensor as the kernels take it: its pointer and strides."""
    return (tensor, *tensor.stride())


def empty_token_major(like: torch.Tensor, *shape: int) -> torch.Tensor:
    """[B, heads, N, channels] of which all heads of a position lie side by side in memory."""
    B, heads, N, channels = shape
    return like.new_empty(B, N, heads, channels).transpose(1, 2)


def precision(dtype: torch.dtype) -> str:
    """How matrices are multiplied: float32 exactly, unless torch itself is told otherwise."""
    if dtype != torch.float32:
        return "ieee"
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def power_of_two(size: int) -> int:
    """The least power of two that is not below the size and 16."""
    return max(16, 1 << (size - 1).bit_length())


def ceil_divide(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)
