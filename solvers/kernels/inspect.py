"""What the Triton kernel becomes on a Hopper GPU, counted without one: ``triton.compile`` for sm_90, and the tools in triton's wheel."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from . import triton_sweeps

INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;")
LABEL = re.compile(r"^\s*(\.L_x_\d+):")
JUMP = re.compile(r"\bBRA\b.*`\((\.L_x_\d+)\)")


@dataclass(frozen=True)
class Counters:
    """Of one compiled kernel."""

    warps: int
    registers: int  # of a thread
    spilled: int  # bytes of a thread's stack
    shared: int  # bytes of a program
    instructions: float  # SASS, of a sweep and a warp: the body of the loop over sweeps, divided by the sweeps in it


def counters(
    n: int,
    b: int,
    k: int,
    s: int,
    *,
    dtype: torch.dtype = torch.float32,
    warps: int | None = None,
    check: int = 4,
    full: bool = True,
    next_nodes: int | None = None,
    next_actions: int | None = None,
) -> Counters:
    """Counters of `triton_sweeps.kernel` as `triton_sweeps.sweep_many` launches it; needs a process without ``TRITON_INTERPRET``.

    Args:
        n: nodes N.
        b: actions B.
        k: successors K.
        s: states S.
        dtype: of the tables, float32 or float64.
        warps: of a program; None for the number that `triton_sweeps.sweep_many` takes.
        check: sweeps between two looks.
        full: all rows sum to 1.
        next_nodes: size of that axis of the successors; None for N.
        next_actions: likewise; None for B.
    """
    constants, usual = triton_sweeps.shape_of_launch(n, b, k, s, next_nodes or n, next_actions or b)
    fixed: dict[str, Any] = {**constants, "check": check, "full": full, "approximate": dtype == torch.float32}
    kinds = {"next_states": "*i32", "used": "*i32", "size": "i32", "max_sweeps": "i32", "probability_stride": "i32", "weight_stride": "i32"}
    kinds |= dict.fromkeys(("discount", "scale", "unscale", "limit"), "fp64") | dict.fromkeys(fixed, "constexpr")
    pointer = "*fp32" if dtype == torch.float32 else "*fp64"
    function: Any = triton_sweeps.kernel
    pointers = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(function.arg_names) if kinds.get(name, "*")[0] == "*"}
    source = ASTSource(function, {name: kinds.get(name, pointer) for name in function.arg_names}, fixed, pointers)
    options = {"num_warps": warps or usual, "enable_fp_fusion": True}
    compiled: Any = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(compiled.asm["cubin"])
        usage = command_output(knobs.nvidia.cuobjdump.path, "-res-usage", path)
        loop = longest_loop(command_output(knobs.nvidia.nvdisasm.path, "-c", path))
    registers, stack = (int(re.search(rf"\b{name}:(\d+)", usage)[1]) for name in ("REG", "STACK"))  # type: ignore[index]
    return Counters(options["num_warps"], registers, stack, compiled.metadata.shared, len(loop) / check)


def command_output(*command: Any) -> str:
    """What a tool prints."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def longest_loop(sass: str) -> list[str]:
    """The instructions between the target of a jump backwards and the jump, where they are most."""
    code: list[str] = []
    labels: dict[str, int] = {}
    longest: list[str] = []
    for line in sass.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(code)
        elif instruction := INSTRUCTION.search(line):
            code.append(instruction[1])
            jump = JUMP.search(instruction[1])
            if jump and len(code) - labels.get(jump[1], len(code)) > len(longest):
                longest = code[labels[jump[1]] :]
    return longest
