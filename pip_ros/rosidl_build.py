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
import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_TYPESUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")

# rosidl_typesupport_c for one package: a handle per message whose `data` are the type supports linked into this module.
_DISPATCH_HEAD = """\
#include <string.h>
#include "rosidl_runtime_c/message_type_support_struct.h"
#include "rosidl_typesupport_c/identifier.h"
#include "rosidl_typesupport_interface/macros.h"

typedef const rosidl_message_type_support_t * (* getter_t)(void);

static const rosidl_message_type_support_t * dispatch(
  const rosidl_message_type_support_t * handle, const char * identifier)
{
  if (strcmp(handle->typesupport_identifier, identifier) == 0) {
    return handle;
  }
  const getter_t * getters = (const getter_t *)handle->data;
  for (int i = 0; i < 2; ++i) {
    const rosidl_message_type_support_t * candidate = getters[i]();
    if (candidate && strcmp(candidate->typesupport_identifier, identifier) == 0) {
      return candidate;
    }
  }
  return NULL;
}
"""

_DISPATCH_MESSAGE = """
#define FASTRTPS ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME(rosidl_typesupport_fastrtps_c, {p}, msg, {m})
#define INTROSPECTION ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME( \\
    rosidl_typesupport_introspection_c, {p}, msg, {m})
const rosidl_message_type_support_t * FASTRTPS(void);
const rosidl_message_type_support_t * INTROSPECTION(void);
const rosidl_type_hash_t * {p}__msg__{m}__get_type_hash(const rosidl_message_type_support_t *);
const rosidl_runtime_c__type_description__TypeDescription *
{p}__msg__{m}__get_type_description(const rosidl_message_type_support_t *);
const rosidl_runtime_c__type_description__TypeSource__Sequence *
{p}__msg__{m}__get_type_description_sources(const rosidl_message_type_support_t *);

static const getter_t {m}_getters[2] = {{FASTRTPS, INTROSPECTION}};
static rosidl_message_type_support_t {m}_handle = {{
  NULL, {m}_getters, dispatch,
  {p}__msg__{m}__get_type_hash,
  {p}__msg__{m}__get_type_description,
  {p}__msg__{m}__get_type_description_sources,
}};

const rosidl_message_type_support_t *
ROSIDL_TYPESUPPORT_INTERFACE__MESSAGE_SYMBOL_NAME(rosidl_typesupport_c, {p}, msg, {m})(void)
{{
  {m}_handle.typesupport_identifier = rosidl_typesupport_c__typesupport_identifier;
  return &{m}_handle;
}}
#undef FASTRTPS
#undef INTROSPECTION
"""


@dataclass(frozen=True)
class BuiltInterfaces:
    """What one call made: the importable package and the files that belong in share/<package>/msg."""

    package_dir: Path
    interface_files: tuple[Path, ...]  # .msg, .idl and .json (the type description with its hash)


def ros_prefixes() -> list[Path]:
    """Return the ROS prefixes to build against: the one of the rosidl generators, then those of AMENT_PREFIX_PATH.

    The first is found from the generators themselves, not from sys.prefix: in an isolated build they lie elsewhere.
    """
    found = next((p for p in Path(_rosidl("rosidl_adapter").__file__).parents if (p / "share" / "ament_index").is_dir()), None)
    if found is None:
        raise RuntimeError(f"no ament index above {_rosidl('rosidl_adapter').__file__}; install the ros-* wheels or source ROS 2")
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
    built = BuiltInterfaces(out_dir / package, _interface_files(work_dir, msgs))
    module = built.package_dir / f"{package}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    if module.is_file() and stamp.is_file() and stamp.read_text() == inputs:
        return built
    stamp.unlink(missing_ok=True)
    prefixes = ros_prefixes()
    with _ament_prefix_path(prefixes):
        _generate(package, msgs, work_dir, out_dir, prefixes)
    _compile(package, msgs, work_dir, module, prefixes)
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
    parts = [package, sys.version, Path(__file__).read_text(), metadata.version("numpy"), *map(str, ros_prefixes())]
    # The version of a wheel, or of ROS's own packages where rosidl has no metadata: the adapter's file either way.
    parts += [m.name + m.read_text() for m in msgs]
    parts += [f"{d.metadata['Name']} {d.version}" for d in metadata.distributions() if "rosidl" in d.metadata["Name"]]
    return hashlib.sha256("\n".join(sorted(set(parts))).encode()).hexdigest()


def _interface_files(work_dir: Path, msgs: Sequence[Path]) -> tuple[Path, ...]:
    made = [work_dir / "msg" / f"{m.stem}{suffix}" for m in msgs for suffix in (".idl", ".json")]
    return (*msgs, *made)


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
    (work_dir / "msg").mkdir(parents=True, exist_ok=True)
    include = [str(p / "share") for p in prefixes]
    for msg in msgs:
        _rosidl("rosidl_adapter.msg").convert_msg_to_idl(msg.parent.parent, package, _relative(msg), work_dir / "msg")
    idls = [f"{work_dir}:msg/{m.stem}.idl" for m in msgs]
    hasher = _rosidl("rosidl_generator_type_description.cli").HashTypeDescription("type_description")
    descriptions = hasher.generate_type_hashes(package, idls, include, output_path=work_dir)
    c_dir = work_dir / "c" / package  # headers are included as <package>/msg/...
    _rosidl("rosidl_generator_c.cli").GenerateC("c").generate(
        package, idls, include, output_path=c_dir, type_description_files=descriptions
    )
    fastrtps = _rosidl("rosidl_typesupport_fastrtps_c.cli").GenerateFastRTPSCTypesupport("fastrtps_c")
    fastrtps.generate(package, idls, include, output_path=c_dir)
    introspection = _rosidl("rosidl_typesupport_introspection_c.cli").GenerateIntrospectionCTypesupport("introspection_c")
    introspection.generate(package, idls, include, output_path=c_dir)
    python = _rosidl("rosidl_generator_py.cli").GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"])
    python.generate(package, idls, include, output_path=out_dir / package)
    (out_dir / package / "__init__.py").touch()
    dispatch = _DISPATCH_HEAD + "".join(_DISPATCH_MESSAGE.format(p=package, m=m.stem) for m in msgs)
    (work_dir / "c" / "dispatch.c").write_text(dispatch)


def _relative(msg: Path) -> Path:
    return Path(msg.parent.name) / msg.name


def _dependencies(package: str, msgs: Sequence[Path], work_dir: Path) -> list[str]:
    """Return the other packages whose messages ours contain, at any depth."""
    names: set[str] = set()
    for msg in msgs:
        description = json.loads((work_dir / "msg" / f"{msg.stem}.json").read_text())["type_description_msg"]
        names |= {t["type_name"].split("/")[0] for t in description["referenced_type_descriptions"]}
    return sorted(names - {package})


def _compile(package: str, msgs: Sequence[Path], work_dir: Path, module: Path, prefixes: Sequence[Path]) -> None:
    import numpy  # not needed by setuptools' questions about this project's requirements, which import this file

    dirs = [p / "include" for p in prefixes]
    includes = [work_dir / "c", module.parent.parent, *dirs, *(d for top in dirs for d in sorted(top.glob("*")) if (d / d.name).is_dir())]
    includes += [Path(sysconfig.get_path("include")), Path(numpy.get_include())]
    flags = ["-O2", "-fPIC", "-fvisibility=default", "-w", *(f"-I{d}" for d in includes)]
    generated = [*(work_dir / "c").rglob("*.c"), *(work_dir / "c").rglob("*.cpp"), *module.parent.rglob("*.c")]
    wanted = {_snake(m.stem) for m in msgs}
    sources = sorted(s for s in generated if s.parent.name != "detail" or s.name.split("__")[0] in wanted)
    objects_dir = work_dir / "objects"
    objects_dir.mkdir(exist_ok=True)

    def compile_one(item: tuple[int, Path]) -> Path:
        number, source = item
        target = objects_dir / f"{number}_{source.stem}.o"
        compiler = _compiler("CXX", "c++") + ["-std=c++17"] if source.suffix == ".cpp" else _compiler("CC", "cc")
        _run([*compiler, *flags, "-c", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, enumerate(sources)))
    kinds = ("_generator_c", "_generator_py", "_typesupport_c", *(t.removeprefix("rosidl") for t in _TYPESUPPORTS))
    libraries = [f"{d}__rosidl{kind}" for d in _dependencies(package, msgs, work_dir) for kind in kinds]
    libraries += ["rosidl_runtime_c", "rosidl_typesupport_c", *_TYPESUPPORTS, "rosidl_typesupport_fastrtps_cpp"]
    libraries += ["fastcdr", "rmw", "rcutils", "rosidl_dynamic_typesupport"]
    search = [f"-L{p / 'lib'}" for p in prefixes] + [f"-Wl,-rpath-link,{p / 'lib'}" for p in prefixes]
    link = [*map(str, objects), *search, *(f"-l{name}" for name in libraries), "-Wl,-rpath,$ORIGIN/../../.."]
    _run([*_compiler("CXX", "c++"), "-shared", *link, "-o", str(module)])


def _snake(name: str) -> str:
    return _rosidl("rosidl_pycommon").convert_camel_case_to_lower_case_underscore(name)


def _compiler(variable: str, default: str) -> list[str]:
    return shlex.split(os.environ.get(variable, default))


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise RuntimeError(f"no compiler {command[0]!r}: install g++ and the Python headers (apt install g++ python3-dev)") from error
    if done.returncode:
        raise RuntimeError(f"this command failed:\n{' '.join(command)}\n{done.stderr}\n(needed: g++ and the Python headers, python3-dev)")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    build_interfaces(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
