"""The one-way rule, read from the syntax trees: who may import whom, and who may name ROS."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ros2_multihmr"
ROS_MODULES = re.compile(
    r"^(rclpy|rcl_interfaces|cv_bridge|tf2_ros|tf_transformations|sensor_msgs_py|launch|launch_ros|ament_index_python"
    r"|multihmr|builtin_interfaces|\w+_(msgs|interfaces))(\.|$)"
)

# What each part of the core may import of the others. A part that is missing here fails the test: put it in its place.
LEAVES = {"settings", "stopwatch", "assets", "palette", "rotations"}
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    **{leaf: set() for leaf in LEAVES},
    "distortion": set(),
    "files": set(),
    "camera": {"distortion"},
    "rectify": {"camera"},
    "uncertainty": set(),
    "body": LEAVES,
    "humans": {"body"},
    "tracking": {"body", "camera", "humans", "people", "uncertainty"} | LEAVES,
    "model": {"body", "files", "uncertainty"} | LEAVES,
    "crops": {"model"},
    "backends": {"model", "body", "files"} | LEAVES,
    "nearness": {"body", "humans"},
    "preprocess": {"camera", "model"} | LEAVES,
    "resampling": set(),
    "device_preprocess": {"camera", "model", "preprocess", "resampling"},
    "transfer": set(),
    "people": {"body", "camera", "humans", "model", "preprocess", "uncertainty"} | LEAVES,
    "estimator_config": {"settings"},
    "estimator": {
        "estimator_config",
        "backends",
        "body",
        "camera",
        "device_preprocess",
        "humans",
        "model",
        "people",
        "preprocess",
        "transfer",
        "uncertainty",
    }
    | LEAVES,
    "openmp": set(),
    "what_runs": {"estimator_config", "estimator", "backends"},
    "refining": {
        "estimator",
        "crops",
        "backends",
        "body",
        "camera",
        "humans",
        "model",
        "people",
        "preprocess",
        "rectify",
        "uncertainty",
    }
    | LEAVES,
    "rasterizer": set(),
    "labels": set(),
    "render": {"camera", "rasterizer"},
    "overlay": {"render", "labels", "camera", "humans"} | LEAVES,
    "top_view": {"render", "labels", "camera", "humans"} | LEAVES,
    "calibration": {"camera"},
    "sources": {"camera", "calibration"} | LEAVES,
    "mesh_io": set(),
    "flags": {"settings"},
    "hardware": set(),
    "report": {"files"},
    "results": {"camera", "files", "humans", "mesh_io", "model"} | LEAVES,
    "samples": {"body", "camera", "files", "render"} | LEAVES,
    "synthesis": {"samples", "body", "camera", "rasterizer"} | LEAVES,
    "training": {
        "files",
        "samples",
        "synthesis",
        "body",
        "camera",
        "model",
        "crops",
        "preprocess",
        "render",
        "overlay",
        "hardware",
    }
    | LEAVES,
    "evaluation": {
        "files",
        "samples",
        "synthesis",
        "body",
        "camera",
        "people",
        "humans",
        "tracking",
        "uncertainty",
        "overlay",
        "model",
        "report",
        "hardware",
    }
    | LEAVES,
    "measuring": {
        "estimator_config",
        "estimator",
        "what_runs",
        "backends",
        "camera",
        "model",
        "preprocess",
    }
    | LEAVES,
}
# The programs on top: they may use the whole core; the command line alone reaches the ROS side.
PROGRAMS = {
    "verbs",
    "cli",
}


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError("relative import: name the module in full")
            module = node.module or ""
            yield from ((f"{module}.{alias.name}" for alias in node.names) if module == "ros2_multihmr" else [module])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def imports_of(path: Path) -> list[str]:
    return list(imported_modules(ast.parse(path.read_text())))


def own_parts(path: Path) -> set[str]:
    own = (name.split(".")[1] for name in imports_of(path) if name.startswith("ros2_multihmr."))
    return {name for name in own if name != "__version__"} - {part_of(path)}


CORE_FILES = [path for path in python_files(PACKAGE) if part_of(path) != "ros"]


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_names_no_ros(path: Path) -> None:
    if path == PACKAGE / "verbs" / "info.py":  # it asks whether ROS is there, by name, and imports none of it
        return
    assert [name for name in imports_of(path) if ROS_MODULES.match(name)] == []


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part in PROGRAMS:
        assert part == "cli" or "ros" not in own_parts(path)
        return
    assert part in ALLOWED, f"{part} has no place in the architecture yet: add it to ALLOWED and ARCHITECTURE.md"
    assert own_parts(path) <= ALLOWED[part]


def test_allowed_imports_have_no_cycle() -> None:
    order: list[str] = []
    remaining = dict(ALLOWED)
    while remaining:
        ready = [part for part, uses in remaining.items() if uses <= set(order)]
        assert ready, f"cycle among {sorted(remaining)}"
        order += ready
        for part in ready:
            del remaining[part]


def test_the_scan_sees_what_it_should() -> None:
    tree = ast.parse("import rclpy.node\nfrom sensor_msgs.msg import Image\nfrom ros2_multihmr import camera\n")
    assert list(imported_modules(tree)) == ["rclpy.node", "sensor_msgs.msg", "ros2_multihmr.camera"]
    assert [bool(ROS_MODULES.match(name)) for name in imported_modules(tree)] == [True, True, False]
    assert any(ROS_MODULES.match(name) for path in python_files(PACKAGE / "ros") for name in imports_of(path))


def test_nothing_runs_at_import() -> None:
    for path in CORE_FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                raise AssertionError(f"{path.name}:{node.lineno} calls {ast.unparse(node.value)} at import")
