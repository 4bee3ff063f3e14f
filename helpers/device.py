"""The choice of device and precision, made once, with a printable reason."""

import contextlib
import ctypes
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.errors import Refused


@dataclass(frozen=True)
class Device:
    """A device, the precision of its linear layers, and why."""

    device: torch.device
    precision: str  # float32 or bfloat16
    reason: str

    @property
    def bfloat16(self) -> bool:
        """Whether linear layers compute in bfloat16."""
        return self.precision == "bfloat16"

    def __str__(self) -> str:
        return f"{self.device.type}, {self.precision}: {self.reason}"


SMALL_WIDTH = 256  # below it, conversions cost a CPU more than bfloat16 saves


def choose(precision: str = "auto", width: int = 768, device: str = "auto") -> Device:
    """CUDA if there is one, else the CPU, unless told; bfloat16 where the hardware multiplies it faster than float32.

    Args:
        precision: auto, or float32 or bfloat16 to insist.
        width: hidden dimension of the model to train.
        device: auto, cpu, cuda, cuda:1 ..., or mps (an Apple GPU: taken only when asked for, and untested).

    Raises:
        Refused: this machine has no such device, or torch cannot use it.
    """
    where = _device(device)
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
        fast = torch.cuda.get_device_capability(where) >= (8, 0)
        why = f"{name} {'has' if fast else 'lacks'} bfloat16 tensor cores"
    elif where.type == "mps":
        fast, why = False, "asked for; nothing here was tested on an Apple GPU"
    else:
        fast = _cpu_has_fast_bfloat16()
        why = f"this CPU {'has' if fast else 'lacks'} bfloat16 instructions"
        if fast and width < SMALL_WIDTH:
            fast, why = False, f"width {width} is too small for bfloat16 to pay on a CPU"
        why += ", no CUDA device was found" if device == "auto" else ""
    if precision == "auto":
        return Device(where, "bfloat16" if fast else "float32", why)
    return Device(where, precision, f"asked for; {why}")


def _device(name: str) -> torch.device:
    """The device of that name if this machine has it; raises Refused otherwise."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(name)
    except RuntimeError:
        raise Refused(f"device {name!r} is none that torch knows; use auto, cpu, cuda, cuda:1 ... or mps") from None
    has = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (where.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if where.type not in has:
        raise Refused(f"device {name!r} is not supported; use auto, cpu, cuda, cuda:1 ... or mps")
    if not has[where.type]:
        raise Refused(f"this machine has no device {name!r} that torch can use; device=auto takes what there is")
    return where


def _cpu_has_fast_bfloat16() -> bool:
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if platform.machine() in ("x86_64", "AMD64"):
        return bool(check and check())
    return False  # measured on x86 only; training.precision=bfloat16 insists


def processor() -> dict[str, str]:
    """This machine's processor and the widest instructions that torch uses on it: cpu, instructions.

    A GPU with CUDA, which computes where there is one, stands behind the processor's name.
    """
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    bfloat16 = " with bfloat16" if _cpu_has_fast_bfloat16() else ""
    card = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return {"cpu": f"{name}, {cores()} cores{card}", "instructions": torch.backends.cpu.get_cpu_capability() + bfloat16}


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory rather than return it: fewer page faults, a tenth faster training.

    Does nothing elsewhere than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, (1 << 31) - 1)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


FEW = 8_000  # states: to cluster so many takes about as long as another process takes to start, which imports torch


def processes(states: int, asked: int | None = None) -> int:
    """How many processes share out a piece of analysis: this one alone for few states, else one a core, or as asked.

    Args:
        states: in how many the clusters are looked for, over all problems that are shared out.
    """
    return 1 if states < FEW else asked or cores()
