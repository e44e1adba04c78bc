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
from slt_fast.ops.pixel_attention import launch as attention
from slt_fast.ops.pixel_attention_block import launch as block
from slt_fast.ops.positional_encoding import operator as encoding

TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}
# Scalars and row statistics, which change a few instructions.
OPTIONAL = ("gamma", "delta", "row_statistics", "attended")
DIVISIBLE = [["tt.divisibility", 16]]
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def meta(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def attention_launches(job: dict, dtype: torch.dtype) -> None:
    """pixel_attention on heads that lie side by side, forward and, unless told, backward."""
    B, heads, N, dk, dv = 4, job["heads"], job["N"], job["dk"], job["dv"]
    Nq = job.get("Nq", N)
    q = meta(B, Nq, heads, dk, dtype=dtype).transpose(1, 2)
    k = meta(B, N, heads, dk, dtype=dtype).transpose(1, 2)
    v = meta(B, N, heads, dv, dtype=dtype).transpose(1, 2)
    bias = meta(heads, Nq, N, dtype=torch.float32) if job["bias"] else None
    out, row_statistics = attention.new_forward(q, k, v, bias, dk**-0.5)
    if job.get("forward_only"):
        return
    arguments = (q, k, v, bias, out, row_statistics, dk**-0.5, job["bias"])
    attention.new_backward(torch.empty_like(out), *arguments)


def block_launches(job: dict, dtype: torch.dtype) -> None:
    """Forward and backward of pixel_attention_block on channels_last maps."""
    C, K, side = job["dv"], job["dk"], int(job["N"] ** 0.5)
    x = meta(4, C, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight, bias = meta(2 * K + C, C, dtype=dtype), meta(2 * K + C, dtype=dtype)
    gamma, table = meta(1, dtype=torch.float32), meta(C, side, side, dtype=dtype)
    inputs = (x, weight, bias, gamma.squeeze(0), table)
    y, saved = block.forward(*inputs, K, 1, K**-0.5)
    block.backward(torch.empty_like(y), *inputs, saved, K, 1, K**-0.5, [True] * 5)


def encoding_launches(job: dict, dtype: torch.dtype) -> None:
    side = int(job["N"] ** 0.5)
    x = meta(300, job["dv"], side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    encoding._launch(x)


LAUNCHERS = {
    "pixel_attention": attention_launches,
    "pixel_attention_block": block_launches,
    "add_positional_encoding_2d": encoding_launches,
}


def recorded(job: dict) -> list[tuple]:
    """The launches of a job: (kernel, arguments, row), exactly as they would be made on a GPU."""
    launches = []

    def record(kernel, num_programs, row, device, **arguments) -> None:
        launches.append((kernel, {**row.blocks, **arguments}, row))

    kernel_table.launch = record
    kernel_table.architecture_of = lambda device: job["architecture"]
    torch.set_float32_matmul_precision("highest")
    LAUNCHERS[job["operator"]](job, getattr(torch, job["dtype"]))
    return launches


def specialise(value, path: tuple, source: dict):
    """What Triton would make of an argument: its type, with constants and alignment noted."""
    if isinstance(value, tuple):
        return tuple(specialise(part, (*path, i), source) for i, part in enumerate(value))
    if value is None or (isinstance(value, int) and value == 1):
        source["constexprs"][path] = value
        return "constexpr"
    if isinstance(value, torch.Tensor):
        source["attrs"][path] = DIVISIBLE
        return TYPES[value.dtype]
    if isinstance(value, float):
        return "fp32"
    if value % 16 == 0:
        source["attrs"][path] = DIVISIBLE
    return "i32" if value < 2**31 else "i64"


def strides(value) -> list | bool:
    """For a tensor which of its strides are 1; for others whether they are there."""
    is_tensor = isinstance(value, tuple)
    return [stride == 1 for stride in value[1:]] if is_tensor else value is None


def compile_launch(kernel, arguments: dict, row, architecture: int) -> dict:
    source = {"constexprs": {}, "attrs": {}}
    signature = {}
    for index, parameter in enumerate(kernel.params):
        value = arguments[parameter.name]
        if parameter.is_constexpr:
            source["constexprs"][(index,)] = value
            signature[parameter.name] = "constexpr"
        else:
            signature[parameter.name] = specialise(value, (index,), source)
    options = {"num_warps": row.num_warps, "num_stages": row.num_stages}
    target = GPUTarget("cuda", architecture, 32)
    compiled = triton.compile(ASTSource(kernel, signature, **source), target, options)
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
    }


def run(tool: str, *arguments) -> str:
    command = [str(TOOLS / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    os.environ.setdefault("TRITON_CACHE_DIR", tempfile.mkdtemp())
    results, seen = [], set()
    for job in json.load(sys.stdin):
        for kernel, arguments, row in recorded(job):
            # What the code depends on: the row, types, and which strides are 1.
            places = [(n, strides(v)) for n, v in sorted(arguments.items()) if n not in OPTIONAL]
            sizes = [job[name] for name in ("architecture", "dtype", "dk", "dv")]
            key = str((row, sizes, job.get("heads", 1), places))
            if key not in seen:  # as kernels for many positions, which several sizes take
                seen.add(key)
                result = compile_launch(kernel, arguments, row, job["architecture"])
                results.append({"job": job, **result})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
