"""Type hashes of ROS messages straight from their .msg files, by REP-2011: a second opinion on ROS's generators."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

# type_description_interfaces/msg/FieldType.
_TYPE_IDS = {
    "int8": 2, "uint8": 3, "char": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7, "int64": 8, "uint64": 9,
    "float32": 10, "float64": 11, "bool": 15, "byte": 16, "string": 17, "wstring": 18,
}  # fmt: skip
_NESTED, _BOUNDED_STRING_OFFSET = 1, 4
_ARRAY, _BOUNDED_SEQUENCE, _SEQUENCE = 48, 96, 144
_FIELD = re.compile(
    r"(?P<base>[\w/]+)(<=(?P<characters>\d+))?(?P<array>\[(?P<bound><=)?(?P<size>\d*)\])?\s+(?P<name>\w+)"
)


def type_hash(type_name: str, msg_file: Callable[[str], Path]) -> str:
    """Returns the hash of a message type.

    Args:
        type_name: "package/msg/Name".
        msg_file: from such a name to the .msg file.
    """
    described: dict[str, dict] = {}
    waiting = [type_name]
    while waiting:
        name = waiting.pop()
        if name not in described:
            described[name] = {"type_name": name, "fields": _fields(name, msg_file(name).read_text())}
            waiting += [
                f["type"]["nested_type_name"] for f in described[name]["fields"] if f["type"]["nested_type_name"]
            ]
    first = described.pop(type_name)
    full = {"type_description": first, "referenced_type_descriptions": [described[n] for n in sorted(described)]}
    return "RIHS01_" + hashlib.sha256(json.dumps(full).encode()).hexdigest()


def field_types(text: str) -> set[str]:
    """Returns the types of the fields of a .msg text, without array bounds."""
    return {match["base"] for match in _matches(text)}


def _matches(text: str) -> list[re.Match[str]]:
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    fields = [line for line in lines if line and not re.match(r"\S+\s+\w+\s*=", line)]  # NAME=value is a constant
    return [_FIELD.match(line) for line in fields]


def _fields(type_name: str, text: str) -> list[dict]:
    package = type_name.split("/")[0]
    return [{"name": match["name"], "type": _field_type(package, match)} for match in _matches(text)]


def _field_type(package: str, match: re.Match[str]) -> dict:
    nested = "" if match["base"] in _TYPE_IDS else _full_name(package, match["base"])
    number = _NESTED if nested else _TYPE_IDS[match["base"]] + (_BOUNDED_STRING_OFFSET if match["characters"] else 0)
    if match["array"]:
        number += _BOUNDED_SEQUENCE if match["bound"] else _ARRAY if match["size"] else _SEQUENCE
    capacity = int(match["size"] or 0)
    return {
        "type_id": number,
        "capacity": capacity,
        "string_capacity": int(match["characters"] or 0),
        "nested_type_name": nested,
    }


def _full_name(package: str, name: str) -> str:
    parts = name.split("/")
    if len(parts) == 1:
        return f"{'std_msgs' if name == 'Header' else package}/msg/{name}"
    return f"{parts[0]}/msg/{parts[-1]}"
