"""What a measurement ran on: machine and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "ros-rclpy", "multihmr")


def hardware(device: str = "cpu") -> dict[str, str]:
    """Returns names and sizes of this machine and versions of what runs on it, as words.

    The load is the number of busy processes in the last minute, the measurement's own among them: if there were more of
    them than cores, times are too long.

    Args:
        device: The network's device; a GPU adds its name and memory.
    """
    facts = {
        "cpu": cpu_name(),
        "cores": str(usable_cores()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "memory": f"{memory_bytes() / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    if device.startswith("cuda"):
        import torch  # here: `multihmr info` must work where it is missing

        properties = torch.cuda.get_device_properties(torch.device(device))
        facts["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return facts | {name: version for name in _PACKAGES if (version := package_version(name))}


def package_version(name: str) -> str:
    """Returns the version of an installed distribution, empty if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def cpu_name() -> str:
    """Returns the processor's name as the system tells it, or its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Returns the machine's memory [bytes]."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
