"""`multihmr info`: what is installed, which device, weights and bodies; what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ros2_multihmr import __version__
from ros2_multihmr.hardware import cpu_name, memory_bytes, package_version, usable_cores
from ros2_multihmr.report import open_console
from ros2_multihmr.settings import Settings, setting

if TYPE_CHECKING:
    import torch

    from ros2_multihmr.model.multi_crop_config import MultiCropConfig

# Import name to the distribution that brings it.
_REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "scipy": "scipy",
    "safetensors": "safetensors",
}
_ROS = (
    "rclpy",
    "sensor_msgs",
    "visualization_msgs",
    "diagnostic_msgs",
    "tf2_msgs",
    "cv_bridge",
    "tf2_ros",
    "sensor_msgs_py",
)
_ROS_REMEDY = (
    "source /opt/ros/<distro>/setup.bash, or run `make setup` for ROS 2 from PyPI; `multihmr predict` needs none"
)
_MESSAGES_REMEDY = "build the package: `colcon build` and source install/setup.bash, or `make setup`"
_USUAL_HEAD = (64, 1)  # channels and heads: every released backbone has heads of 64
_PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


@dataclass(frozen=True)
class Options(Settings):
    """Shows what is installed, what a weights file holds, and what to do about what is missing."""

    weights: str = setting(
        "", "Weights file to look at: variant, size, body, licence; without it: those that come with the package"
    )
    body_models: str = setting("", "Folder with body-model files of your own; empty: the usual one")
    device: str = setting("auto", "Device to look for: auto, cpu, cuda or cuda:<number>")
    json: bool = setting(False, "Write JSON instead of a table")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What.
        found: What was found.
        state: "ok"; "optional" for something missing that the main job does not need; "missing" for what it needs.
        remedy: What to do, empty if nothing.
    """

    subject: str
    found: str
    state: str = "ok"
    remedy: str = ""


def main(options: Options) -> int:
    """Runs the verb; returns 1 if something is missing that `multihmr predict` needs."""
    findings = collect(options)
    if options.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=1) + "\n")
    else:
        _show(findings)
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def collect(options: Options) -> list[Finding]:
    """Looks at everything; raises nothing."""
    findings = [*_machine(), *_packages()]
    if all(finding.state == "ok" for finding in findings):
        findings += [*_network(options), *_bodies(options)]
    return [*findings, *_ros(), *_extras()]


def _machine() -> Iterator[Finding]:
    yield Finding("multihmr", f"{__version__}, {Path(__file__).parents[1]}")
    yield Finding("Python", f"{platform.python_version()}, {sys.prefix}")
    yield Finding("machine", f"{cpu_name()}, {usable_cores()} cores, {memory_bytes() / 2**30:.1f} GiB")


def _packages() -> Iterator[Finding]:
    there = {name: _is_there(name) for name in _REQUIRED}
    versions = [f"{name} {package_version(_REQUIRED[name])}".strip() for name, found in there.items() if found]
    yield Finding("packages", ", ".join(versions))
    for name in [name for name, found in there.items() if not found]:
        yield Finding(name, "not installed", "missing", f"pip install {_REQUIRED[name]}")


def _network(options: Options) -> Iterator[Finding]:
    from ros2_multihmr.backends.backend import (  # here: they need what was just looked for
        choose_device,
        describe_file,
        open_backend,
    )
    from ros2_multihmr.body import create_body
    from ros2_multihmr.model.embedded import open_multi_crop
    from ros2_multihmr.model.multi_crop_checkpoint import is_multi_crop

    try:
        device = choose_device(options.device)
        yield _device(str(device))
        if device.type == "cpu":
            yield _blocks(device)
        if is_multi_crop(options.weights):
            refiner = open_multi_crop(options.weights).config
            yield _second_look(refiner, options.weights)
            body = refiner.body
        elif options.weights:
            network = describe_file(options.weights)
            yield _weights(network.name, options.weights, network.untrained)
            yield Finding("file", network.text())
            body = network.body
        else:
            embedded = open_backend("", "cpu").config
            yield _weights(embedded.weights, "with the package", embedded.untrained)
            yield _second_look(open_multi_crop("").config, "with the package")
            body = embedded.body
        yield Finding("body", f"{create_body(body, options.body_models).info.name}, wanted by the weights")
    except (ValueError, OSError, MemoryError, ImportError) as error:  # ImportError: an encoder of timm's, without timm
        yield Finding("network", "cannot be used", "missing", str(error))


def _device(device: str) -> Finding:
    import torch

    if device != "cpu":
        properties = torch.cuda.get_device_properties(torch.device(device))
        return Finding("device", f"{device}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    cuda = torch.version.cuda
    remedy = "no CUDA GPU is visible: see nvidia-smi" if cuda else "for an NVIDIA GPU: `make setup CUDA=1`"
    return Finding("device", f"cpu, {torch.get_num_threads()} threads; no GPU", "optional", remedy)


def _blocks(device: torch.device) -> Finding:
    """Tells how this CPU computes the backbone's blocks in each precision, and what keeps it from tiles."""
    from ros2_multihmr.backends.amx import why_broken
    from ros2_multihmr.backends.amx_library import INSTALL_AGAIN
    from ros2_multihmr.backends.blocks import KINDS, choose_blocks, why_not
    from ros2_multihmr.backends.torch_backend import PRECISIONS

    texts = []
    for name, dtype in PRECISIONS.items():
        chosen = choose_blocks("auto", device, dtype, *_USUAL_HEAD)
        reason = "" if chosen == KINDS[0] else why_not(KINDS[0], device, dtype, *_USUAL_HEAD)
        texts.append(f"{name} {chosen}{f' (no {KINDS[0]}: {reason})' if reason else ''}")
    broken = device.type == "cpu" and any(map(why_broken, PRECISIONS.values()))
    return Finding("backbone's blocks", ", ".join(texts), *(("optional", INSTALL_AGAIN) if broken else ("ok", "")))


def _weights(name: str, origin: str, untrained: bool) -> Finding:
    if not untrained:
        return Finding("weights", f"{name}, {origin}")
    return Finding(
        "weights",
        f"{name}, {origin}: UNTRAINED, people are random",
        "optional",
        "give trained weights: `--weights FILE` or the parameter",
    )


def _second_look(config: MultiCropConfig, origin: str) -> Finding:
    height, width = config.size
    return Finding(
        "second look",
        f"{config.weights}, {origin}: {config.num_crops} crops of {width} x {height} px for each person, encoder "
        f"{config.encoder}, fusion {config.fusion}, starts from {config.start}; goes in as refiner_weights",
    )


def _bodies(options: Options) -> Iterator[Finding]:
    from ros2_multihmr.body import create_body

    for name in ("anny", "smplx"):
        try:
            info = create_body(name, options.body_models).info
            yield Finding(name, f"{info.name}, {info.num_vertices} vertices, {len(info.joint_names)} joints")
        except (ValueError, OSError) as error:
            yield Finding(name, "not there; only SMPL-X weights want it", "optional", str(error))


def _ros() -> Iterator[Finding]:
    missing = [name for name in _ROS if not _is_there(name)]
    if missing:
        yield Finding("ROS 2", f"not there: {', '.join(missing)}", "optional", _ROS_REMEDY)
        return
    distro = os.environ.get("ROS_DISTRO") or f"from PyPI, rclpy {package_version('ros-rclpy')}"
    middleware = os.environ.get("RMW_IMPLEMENTATION") or "its default"
    yield Finding("ROS 2", f"{distro}; middleware: {middleware}; domain {os.environ.get('ROS_DOMAIN_ID') or 0}")
    yield _messages()
    profile = next((os.environ[name] for name in _PROFILES if os.environ.get(name)), "")
    yield Finding("Fast DDS profile", profile or "none set: our commands and launch file set the one for big images")


def _messages() -> Finding:
    try:
        importlib.import_module("multihmr.msg")
    except ImportError as error:
        return Finding("messages", f"multihmr.msg: {error}", "optional", _MESSAGES_REMEDY)
    return Finding("messages", "multihmr.msg")


def _extras() -> Iterator[Finding]:
    version = package_version("rosbags")
    remedy = "" if version else "pip install rosbags, to record with `multihmr run --record` and `multihmr demo`"
    yield Finding("rosbags", version or "not installed", "ok" if version else "optional", remedy)
    webcams = sorted(str(path) for path in Path("/dev").glob("video*"))
    yield Finding("webcams", ", ".join(webcams) or "none", "ok")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _show(findings: list[Finding]) -> None:
    console, table = open_console(), Table(show_header=False, box=None, pad_edge=False)
    for overflow in ("ellipsis", "ellipsis", "fold"):
        table.add_column(overflow=overflow)  # a path must not be cut
    marks = {"ok": "[green]ok[/]", "optional": "[yellow]--[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        text = escape(finding.found) + (f"\n[yellow]{escape(finding.remedy)}[/]" if finding.remedy else "")
        table.add_row(marks[finding.state], f"[bold]{finding.subject}[/]", text)
    console.print(table)
