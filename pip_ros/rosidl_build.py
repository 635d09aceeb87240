"""Build the Python bindings of ROS messages from .msg files with the rosidl generators, without CMake.

The generators are ROS's own, so code, serialisation and type hashes are those of a colcon build. All C and C++ code
of a package goes into one extension module: the stock lookup opens a library per type support by its bare name, which
only a ROS installation's library path finds. Used by the setup.py of this project and of pip_ros; as a command:

    python rosidl_build.py PACKAGE MSG_DIR OUT_DIR
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rosidl_dispatch import dispatch_source

_NEEDED = "a C++ compiler and the Python headers are needed (Debian and Ubuntu: apt install g++ python3-dev)"
_TYPESUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")


@dataclass(frozen=True)
class BuiltInterfaces:
    """What one call made."""

    package_dir: Path  # the importable package
    module: Path  # the compiled extension in it
    interface_files: tuple[Path, ...]  # .msg, .idl and .json (the type description with its hash)
    index_file: Path  # the list of them in the form of the ament index's resource "rosidl_interfaces"

    def data_files(self) -> list[tuple[str, list[str]]]:
        """Return what setuptools' `data_files` should put below the prefix, so that ROS's tools know the messages.

        With paths relative to the working directory, which setuptools wants to be the project's.
        """
        package = self.package_dir.name
        index = "share/ament_index/resource_index/rosidl_interfaces"
        files = {f"share/{package}/msg": self.interface_files, index: (self.index_file,)}
        return [(folder, [os.path.relpath(path) for path in paths]) for folder, paths in files.items()]


def ros_prefixes() -> list[Path]:
    """Return the ROS prefixes to build against: the one of the rosidl generators, then those of AMENT_PREFIX_PATH.

    The first is found from the generators themselves, not from sys.prefix: in an isolated build they lie elsewhere.
    """
    adapter = Path(_rosidl("rosidl_adapter").__file__)
    found = next((p for p in adapter.parents if (p / "share" / "ament_index").is_dir()), None)
    if found is None:
        raise RuntimeError(f"no ament index above {adapter}: install the ros-* wheels, or source your ROS 2")
    sourced = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return list(dict.fromkeys([found, *sourced]))


def build_interfaces(package: str, msg_dir: Path, out_dir: Path, work_dir: Path | None = None) -> BuiltInterfaces:
    """Generate and compile all messages of `msg_dir` into the importable package `out_dir/package`.

    Nothing is done where the result of the same inputs (messages, interpreter, rosidl and numpy versions) is there.

    Args:
        package: ROS package name, the first half of the type names.
        msg_dir: folder with the .msg files, all of which belong to the package.
        out_dir: folder to put on sys.path.
        work_dir: generated sources and objects; default: `rosidl_work/<package>` beside `out_dir`.

    Raises:
        FileNotFoundError: no .msg file in `msg_dir`.
        RuntimeError: the rosidl generators are missing, or the compiler failed (its output is in the text).
    """
    msg_dir, out_dir = Path(msg_dir).resolve(), Path(out_dir).resolve()
    work_dir = Path(work_dir).resolve() if work_dir else out_dir.parent / "rosidl_work" / package
    msgs = sorted(msg_dir.glob("*.msg"))
    if not msgs:
        raise FileNotFoundError(f"no .msg file in {msg_dir}: expected the messages of {package} there")
    stamp, inputs = work_dir / "stamp", _digest(package, msgs)
    built = _built(package, msgs, out_dir, work_dir)
    if built.module.is_file() and stamp.is_file() and stamp.read_text() == inputs:
        return built
    for made in (work_dir, built.package_dir):  # nothing of a message that was since renamed may stay
        shutil.rmtree(made, ignore_errors=True)
    prefixes = ros_prefixes()
    with _ament_prefix_path(prefixes), contextlib.redirect_stdout(io.StringIO()):  # the generators print every name
        _generate(package, msgs, work_dir, out_dir, prefixes)
    _compile(package, msgs, work_dir, built.module, prefixes)
    names = sorted(f"msg/{path.name}" for path in built.interface_files)
    built.index_file.parent.mkdir(exist_ok=True)
    built.index_file.write_text("\n".join(names))
    stamp.write_text(inputs)
    return built


def _rosidl(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(
            f"cannot import {name} ({error}): the messages are made by ROS's rosidl generators. "
            "Install the ros-std-msgs wheel (make setup does), or source your ROS 2 installation."
        ) from error


def _digest(package: str, msgs: Sequence[Path]) -> str:
    """Return a hash of everything the result depends on."""
    parts = [
        package,
        sys.version,
        Path(__file__).read_text(),
        dispatch_source(package, []),
        metadata.version("numpy"),
        *map(str, ros_prefixes()),
    ]
    parts += [m.name + m.read_text() for m in msgs]
    parts += [f"{d.metadata['Name']} {d.version}" for d in metadata.distributions() if "rosidl" in d.metadata["Name"]]
    return hashlib.sha256("\n".join(sorted(set(parts))).encode()).hexdigest()


def _built(package: str, msgs: Sequence[Path], out_dir: Path, work_dir: Path) -> BuiltInterfaces:
    made = [work_dir / "msg" / f"{m.stem}{suffix}" for m in msgs for suffix in (".idl", ".json")]
    module = out_dir / package / f"{package}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    return BuiltInterfaces(out_dir / package, module, (*msgs, *made), work_dir / "rosidl_interfaces" / package)


@contextlib.contextmanager
def _ament_prefix_path(prefixes: Sequence[Path]) -> Iterator[None]:
    """Let the generators find their templates and the messages of other packages."""
    before = os.environ.get("AMENT_PREFIX_PATH")
    os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join(map(str, prefixes))
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMENT_PREFIX_PATH"]
        else:
            os.environ["AMENT_PREFIX_PATH"] = before


def _generate(package: str, msgs: Sequence[Path], work_dir: Path, out_dir: Path, prefixes: Sequence[Path]) -> None:
    """Write IDL, type descriptions, C sources (work_dir) and Python sources (out_dir).

    The generator classes are called directly: the `rosidl generate` command stops at "Found duplicate entry point" in
    the PyPI wheels.
    """
    (work_dir / "msg").mkdir(parents=True)
    include = [str(p / "share") for p in prefixes]
    for msg in msgs:
        relative = Path(msg.parent.name) / msg.name
        _rosidl("rosidl_adapter.msg").convert_msg_to_idl(msg.parent.parent, package, relative, work_dir / "msg")
    idls = [f"{work_dir}:msg/{m.stem}.idl" for m in msgs]
    hasher = _rosidl("rosidl_generator_type_description.cli").HashTypeDescription("type_description")
    descriptions = hasher.generate_type_hashes(package, idls, include, output_path=work_dir)
    c_dir = work_dir / "c" / package  # headers are included as <package>/msg/...
    for module, name in (
        ("rosidl_generator_c", "GenerateC"),
        ("rosidl_typesupport_fastrtps_c", "GenerateFastRTPSCTypesupport"),
        ("rosidl_typesupport_introspection_c", "GenerateIntrospectionCTypesupport"),
    ):
        generator = getattr(_rosidl(f"{module}.cli"), name)(module)
        more = {"type_description_files": descriptions} if name == "GenerateC" else {}
        generator.generate(package, idls, include, output_path=c_dir, **more)
    generate_python = _rosidl("rosidl_generator_py.cli").GeneratePython
    python = generate_python("py", typesupport_implementations=["rosidl_typesupport_c"])
    python.generate(package, idls, include, output_path=out_dir / package)
    (out_dir / package / "__init__.py").touch()
    source = dispatch_source(package, [msg.stem for msg in msgs])
    (work_dir / "c" / "dispatch.c").write_text(source)


def _dependencies(package: str, msgs: Sequence[Path], work_dir: Path) -> list[str]:
    """Return the other packages whose messages ours contain, at any depth."""
    names: set[str] = set()
    for msg in msgs:
        description = json.loads((work_dir / "msg" / f"{msg.stem}.json").read_text())["type_description_msg"]
        names |= {t["type_name"].split("/")[0] for t in description["referenced_type_descriptions"]}
    return sorted(names - {package})


def _compile(package: str, msgs: Sequence[Path], work_dir: Path, module: Path, prefixes: Sequence[Path]) -> None:
    objects_dir = work_dir / "objects"
    objects_dir.mkdir(exist_ok=True)
    flags = ["-O2", "-fPIC", "-w", *(f"-I{d}" for d in _include_dirs(work_dir / "c", module.parent.parent, prefixes))]

    def compile_one(source: Path) -> Path:
        target = objects_dir / f"{source.parent.name}_{source.name}.o"
        compiler = [*_compiler("CXX", "c++"), "-std=c++17"] if source.suffix == ".cpp" else _compiler("CC", "cc")
        _run([*compiler, *flags, "-c", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, _sources(work_dir / "c", module.parent)))
    search = [f"-L{p / 'lib'}" for p in prefixes] + [f"-Wl,-rpath-link,{p / 'lib'}" for p in prefixes]
    libraries = [f"-l{name}" for name in _libraries(_dependencies(package, msgs, work_dir))]
    # The extension lies in <prefix>/lib/python3.x/site-packages/<package>, ROS's libraries in <prefix>/lib.
    rpath = "-Wl,-rpath,$ORIGIN/../../.."
    _run([*_compiler("CXX", "c++"), "-shared", *map(str, objects), *search, *libraries, rpath, "-o", str(module)])


def _include_dirs(c_dir: Path, python_dir: Path, prefixes: Sequence[Path]) -> list[Path]:
    import numpy  # here: this file is also imported to ask what the build needs, before that is installed

    tops = [p / "include" for p in prefixes]
    packages = [d for top in tops for d in sorted(top.glob("*")) if (d / d.name).is_dir()]  # include/<p>/<p>/...
    return [c_dir, python_dir, *tops, *packages, Path(sysconfig.get_path("include")), Path(numpy.get_include())]


def _sources(c_dir: Path, package_dir: Path) -> list[Path]:
    return sorted(path for folder in (c_dir, package_dir) for kind in ("*.c", "*.cpp") for path in folder.rglob(kind))


def _libraries(dependencies: Sequence[str]) -> list[str]:
    kinds = ("rosidl_generator_c", "rosidl_generator_py", "rosidl_typesupport_c", *_TYPESUPPORTS)
    own = ["rosidl_runtime_c", "rosidl_typesupport_c", *_TYPESUPPORTS, "rosidl_typesupport_fastrtps_cpp"]
    others = ["fastcdr", "rmw", "rcutils", "rosidl_dynamic_typesupport"]
    return [*(f"{d}__{kind}" for d in dependencies for kind in kinds), *own, *others]


def _compiler(variable: str, default: str) -> list[str]:
    return shlex.split(os.environ.get(variable, default))


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(f"no compiler {command[0]!r}: {_NEEDED}") from error
    if done.returncode:
        raise RuntimeError(f"this command failed:\n{' '.join(command)}\n{done.stderr}\n{_NEEDED}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    build_interfaces(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
