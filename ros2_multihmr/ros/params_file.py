"""ROS parameter files: mistakes are told in a sentence, before a process trips over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

_KEY = "ros__parameters"


def check_params_file(path: str) -> None:
    """Checks that a file can be given to a node with `--params-file`; names and values are the node's to check.

    Raises:
        ValueError: It cannot be read, or is no parameter file.
    """
    if not Path(path).is_file():
        raise ValueError(f"--params-file {path}: no such file")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--params-file {path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"--params-file {path}: no YAML: {' '.join(str(error).split())}") from error
    if not _has_parameters(content):
        raise ValueError(
            f"--params-file {path}: no parameters of any node; expected lines like /**: {_KEY}: device: cpu"
        )


def file_text(name: str, value: Any) -> str:
    """Returns a line that is a parameter file, which gives every node one parameter."""
    return f"/**: {{{_KEY}: {{{name}: {json.dumps(value)}}}}}"


def _has_parameters(content: Any) -> bool:
    """Says whether each entry is a node with parameters, or a namespace of such entries, and there is one at least."""
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(v, dict) and (isinstance(v.get(_KEY), dict) or _has_parameters(v)) for v in content.values())
