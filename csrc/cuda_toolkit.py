"""Chooses for setup.py whether to build for CUDA GPUs, and with which toolkit."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SWITCH = "SLT_FAST_BUILD_CUDA"
# A100, H100, B200 and smaller GPUs of their generations; newer GPUs compile the PTX.
TARGETS = (80, 90, 100, 120)


class ToolkitMissing(Exception):
    """Raised if no toolkit can build the kernels; says why."""


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit that can compile the kernels."""

    root: Path  # the toolkit's folder, with bin/nvcc
    version: str  # such as "13.0"
    include: Path  # folder of cuda_runtime.h
    runtime: Path  # the static CUDA runtime, so the extension also loads without a driver
    targets: tuple[int, ...]  # compute capabilities from TARGETS that its compiler knows

    def architecture_flags(self) -> list[str]:
        """Returns nvcc's flags for machine code of each target and PTX of the newest."""
        flags = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in self.targets]
        newest = max(self.targets)
        return [*flags, f"-gencode=arch=compute_{newest},code=compute_{newest}"]

    def describe(self) -> str:
        """Names the GPUs that the kernels run on, and those that this toolkit leaves out."""
        names = ", ".join(f"sm_{n}" for n in self.targets)
        text = f"CUDA {self.version}: {names} and PTX"
        missing = [f"sm_{n}" for n in TARGETS if n not in self.targets]
        return text + (f", not {', '.join(missing)}, which need CUDA 12.8" if missing else "")


def choose_toolkit(
    environment: Mapping[str, str], cuda_version: str | None, guess: str | None = None
) -> tuple[Toolkit | None, str]:
    """Chooses what the extension is built for.

    Args:
        environment: SLT_FAST_BUILD_CUDA is 0 (CPU only), 1 (CUDA, or an error) or auto (CUDA if
            torch has it and a toolkit is found). CUDA_HOME, CUDA_PATH and PATH name toolkits.
        cuda_version: torch.version.cuda.
        guess: Another folder that may be a toolkit.

    Returns:
        The toolkit, or None for the CPU only; and a description of the build.

    Raises:
        ValueError: SLT_FAST_BUILD_CUDA has another value, or is 1 without a toolkit.
    """
    wish = environment.get(SWITCH, "auto")
    if wish not in ("0", "1", "auto"):
        raise ValueError(f"{SWITCH}: found {wish!r}; expected 0, 1 or auto")
    if wish == "0":
        return None, f"the CPU ({SWITCH}=0)"
    try:
        toolkit = find_toolkit(environment, cuda_version, guess)
    except ToolkitMissing as error:
        if wish == "1":
            raise ValueError(f"{SWITCH}=1: the CUDA kernels cannot be built: {error}") from None
        return None, f"the CPU ({error})"
    return toolkit, f"the CPU and GPUs ({toolkit.describe()})"


def find_toolkit(
    environment: Mapping[str, str], cuda_version: str | None, guess: str | None
) -> Toolkit:
    """Finds a toolkit with the major version that torch is built with.

    Raises:
        ToolkitMissing: There is none, or it lacks a part.
    """
    if cuda_version is None:
        raise ToolkitMissing("this torch is built without CUDA")
    reasons = []
    for root in dict.fromkeys(_roots(environment, cuda_version, guess)):
        try:
            return _toolkit_at(root, cuda_version)
        except ToolkitMissing as error:
            reasons.append(str(error))
    wanted = f"found no CUDA {cuda_version.partition('.')[0]} toolkit"
    raise ToolkitMissing("; ".join([wanted, *reasons]))


def _roots(environment: Mapping[str, str], cuda_version: str, guess: str | None) -> Iterator[Path]:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if environment.get(name):
            yield Path(environment[name])
    nvcc = shutil.which("nvcc", path=environment.get("PATH"))
    if nvcc is not None:
        # The nvcc of the PATH may be a script outside the toolkit; its dry run names the toolkit.
        shown = _output([nvcc, "--dryrun", "none.cu"])
        top = re.search(r"^#\$ TOP=(.+)$", shown, re.MULTILINE)
        yield Path(top[1]).resolve() if top else Path(nvcc).resolve().parents[1]
    if guess:
        yield Path(guess)
    yield from _packages(cuda_version)


def _packages(cuda_version: str) -> list[Path]:
    """Returns the folders where pip's CUDA packages, beside torch, keep bin, include and lib."""
    folder = Path(importlib.util.find_spec("torch").origin).parents[1] / "nvidia"
    return [folder / f"cu{cuda_version.partition('.')[0]}", folder / "cuda_runtime"]


def _toolkit_at(root: Path, cuda_version: str) -> Toolkit:
    nvcc = root / "bin" / "nvcc"
    if not os.access(nvcc, os.X_OK):
        raise ToolkitMissing(f"{root} has no bin/nvcc")
    release = re.search(r"release (\d+)\.(\d+)", _output([str(nvcc), "--version"]))
    if release is None:
        raise ToolkitMissing(f"{nvcc} does not print its version")
    version = f"{release[1]}.{release[2]}"
    if release[1] != cuda_version.partition(".")[0]:
        raise ToolkitMissing(f"{root} is CUDA {version}, torch's is {cuda_version}")
    folders = [root, *_packages(cuda_version)]
    include = _first(f / "include" / "cuda_runtime.h" for f in folders).parent
    runtime = _first(f / lib / "libcudart_static.a" for f in folders for lib in ("lib64", "lib"))
    known = _output([str(nvcc), "--list-gpu-arch"])
    targets = tuple(n for n in TARGETS if re.search(rf"\bcompute_{n}\b", known))
    if not targets:
        raise ToolkitMissing(f"{nvcc} knows none of the GPUs {TARGETS}")
    return Toolkit(root, version, include, runtime, targets)


def _first(paths: Iterator[Path]) -> Path:
    tried = list(paths)
    for path in tried:
        if path.is_file():
            return path
    raise ToolkitMissing(f"{tried[0].name} is missing in {tried[0].parent}")


def _output(command: list[str]) -> str:
    """Returns what a program prints, including stderr, where nvcc prints its dry run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise ToolkitMissing(f"{command[0]} cannot be run: {error.strerror}") from None
    return done.stdout + done.stderr
