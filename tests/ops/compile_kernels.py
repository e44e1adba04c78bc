"""Compiles kernels for GPUs that are not there, and reads what came out; run as a program.

Standard input: JSON, a list of jobs {"operator", "architecture", "dtype", "N", ...} (see
LAUNCHERS). Standard output: a JSON list of what each launch of each job compiled to. A process of
its own, since under TRITON_INTERPRET, as in the tests, there is no compiler.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from slt_fast.ops import kernel_table
from slt_fast.ops.launching import Blocks, Launch, Operand
from slt_fast.ops.pixel_attention import plan as attention
from slt_fast.ops.pixel_attention_block import one_kernel
from slt_fast.ops.pixel_attention_block import plan as block
from slt_fast.ops.pixel_attention_block.sums import Needed
from slt_fast.ops.positional_encoding import operator as encoding

TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}
# Scalars and row statistics, which change a few instructions.
OPTIONAL = ("gamma", "delta", "row_statistics", "attended")
DIVISIBLE = [["tt.divisibility", 16]]
META = torch.device("meta")
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def meta(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def attention_launches(job: dict, dtype: torch.dtype) -> list[Launch]:
    """pixel_attention with adjacent heads: forward and, without "forward_only", backward."""
    B, heads, N, dk, dv = 4, job["heads"], job["N"], job["dk"], job["dv"]
    Nq = job.get("Nq", N)
    q = meta(B, Nq, heads, dk, dtype=dtype).transpose(1, 2)
    k = meta(B, N, heads, dk, dtype=dtype).transpose(1, 2)
    v = meta(B, N, heads, dv, dtype=dtype).transpose(1, 2)
    bias = meta(heads, Nq, N, dtype=torch.float32) if job["bias"] else None
    forward = attention.forward_plan.plan(META, q, k, v, bias, dk**-0.5)
    if job.get("forward_only"):
        return forward.launches
    out, row_statistics = forward.memory["out"], forward.memory.get("row_statistics")
    arguments = (out, q, k, v, bias, out, row_statistics, dk**-0.5, job["bias"])
    return forward.launches + attention.backward_plan.plan(META, *arguments).launches


def block_launches(job: dict, dtype: torch.dtype) -> list[Launch]:
    """Forward and backward of pixel_attention_block on channels_last maps."""
    C, K, side = job["dv"], job["dk"], int(job["N"] ** 0.5)
    x = meta(4, C, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight, bias = meta(2 * K + C, C, dtype=dtype), meta(2 * K + C, dtype=dtype)
    gamma, encoding = meta(dtype=torch.float32), meta(C, side, side, dtype=dtype)
    settings = (K, 1, K**-0.5)
    one_kernel.set_one_kernel(job.get("one_kernel", False))
    given = (x, weight, bias, gamma, encoding, *settings, job.get("saves", True), True)
    forward = block.forward_plan.plan(META, *given)
    if job.get("forward_only"):
        return forward.launches
    saved = [forward.memory.get(name) for name in ("qkv", "attended", "row_statistics")]
    given = (x, x, weight, gamma, encoding, *saved, *settings, Needed(*[True] * 5))
    return forward.launches + block.backward_plan.plan(META, *given).launches


def encoding_launches(job: dict, dtype: torch.dtype) -> list[Launch]:
    side = int(job["N"] ** 0.5)
    x = meta(300, job["dv"], side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return encoding.encoding_plan.plan(META, x).launches


LAUNCHERS = {
    "pixel_attention": attention_launches,
    "pixel_attention_block": block_launches,
    "add_positional_encoding_2d": encoding_launches,
}


def planned(job: dict) -> list[Launch]:
    """The launches of a job, exactly as they would be on a GPU."""
    kernel_table.architecture_of = lambda device: job["architecture"]
    torch.set_float32_matmul_precision("highest")
    return LAUNCHERS[job["operator"]](job, getattr(torch, job["dtype"]))


def specialise(value, path: tuple, source: dict):
    """What Triton would make of an argument: its type, with constants and alignment noted."""
    if isinstance(value, Operand):
        pointer = path if value.strides is None else (*path, 0)
        source["attrs"][pointer] = DIVISIBLE
        strides = value.strides or ()
        parts = (specialise(part, (*path, i), source) for i, part in enumerate(strides, 1))
        return TYPES[value.dtype] if value.strides is None else (TYPES[value.dtype], *parts)
    if isinstance(value, Blocks):
        return f"tensordesc<{TYPES[value.dtype][1:]}[{','.join(map(str, value.block))}]>"
    if value is None or (isinstance(value, int) and value == 1):
        source["constexprs"][path] = value
        return "constexpr"
    if isinstance(value, float):
        return "fp32"
    if value % 16 == 0:
        source["attrs"][path] = DIVISIBLE
    return "i32" if value < 2**31 else "i64"


def strides(value) -> list | bool:
    """For a matrix which of its strides are 1; for others whether they are absent."""
    is_matrix = isinstance(value, Operand) and value.strides is not None
    return [stride == 1 for stride in value.strides] if is_matrix else value is None


def compile_launch(launch: Launch, architecture: int) -> dict:
    source = {"constexprs": {}, "attrs": {}}
    signature = {}
    arguments = {**launch.constants, **launch.operands}
    for index, parameter in enumerate(launch.kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr:
            source["constexprs"][(index,)] = value
            signature[parameter.name] = "constexpr"
        else:
            signature[parameter.name] = specialise(value, (index,), source)
    row = launch.row
    options = {"num_warps": row.num_warps, "num_stages": row.num_stages}
    target = GPUTarget("cuda", architecture, 32)
    compiled = triton.compile(ASTSource(launch.kernel, signature, **source), target, options)
    keys = {
        "kernel": row.kernel,
        "row_architecture": row.architecture,
        "itemsize": row.itemsize,
        "biased": row.biased,
    }
    return {**keys, **resources(compiled)}


def resources(compiled) -> dict:
    """Registers, stack, shared memory, and the count of each kind of instruction."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage = run("cuobjdump", "--dump-resource-usage", cubin)
        code = run("nvdisasm", "--print-code", "--no-dataflow", cubin)
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", usage)
    names = re.findall(r"^\s+/\*[0-9a-f]{4,5}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)", code, re.M)
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "local": int(found[3]),
        "shared": compiled.metadata.shared,
        "tf32": "tf32" in compiled.asm["ptx"],
        "instructions": dict(Counter(names)),
        "products": products(compiled.asm["ttgir"]),
    }


def products(ttgir: str) -> list[dict]:
    """Rows, warps along them and kind of accumulator of each product whose result is in registers.

    There are no warps if no matrix unit computes the product. The results of sm_100's matrix units
    are in a memory of their own; those products are not listed.
    """
    warps = dict(re.findall(r"^(#\w+) = #ttg.nvidia_mma<.*?warpsPerCTA = \[(\d+),", ttgir, re.M))
    constants = re.findall(r"^\s+(%\w+) = arith.constant", ttgir, re.M)
    product = r"(?:tt\.dot|warp_group_dot) %\S+, %\S+, (%\w+).* -> tensor<(\d+)x\d+xf32, (#\w+)>"
    return [
        {
            "rows": int(rows),
            "warps": int(warps[layout]) if layout in warps else None,
            "adds_to_a_total": total not in constants,
        }
        for total, rows, layout in re.findall(product, ttgir)
    ]


def run(tool: str, *arguments) -> str:
    command = [str(TOOLS / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    os.environ.setdefault("TRITON_CACHE_DIR", tempfile.mkdtemp())
    results, seen = [], set()
    for job in json.load(sys.stdin):
        for launch in planned(job):
            # What the code depends on: the row, types, and which strides are 1.
            arguments = sorted({**launch.constants, **launch.operands}.items())
            places = [(n, strides(v)) for n, v in arguments if n not in OPTIONAL]
            sizes = [job[name] for name in ("architecture", "dtype", "dk", "dv")]
            key = str((launch.row, sizes, job.get("heads", 1), places))
            if key not in seen:  # as kernels for many positions, which several sizes take
                seen.add(key)
                results.append({"job": job, **compile_launch(launch, job["architecture"])})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
