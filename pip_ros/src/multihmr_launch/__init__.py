"""Runs a Python launch file where ROS's own launch is missing: it is not on PyPI.

The folder `stand_ins` holds packages `launch` and `launch_ros` with the part of the real ones' interface that this
project's launch files use. They come last on sys.path, and only where no launch_ros is installed. A launch file that
works here has not been proven on the real one, which knows more and checks more.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

STAND_INS = Path(__file__).resolve().parent / "stand_ins"


def add_stand_ins() -> bool:
    """Make `launch` and `launch_ros` importable. Return False, and do nothing, where the real ones are."""
    spec = importlib.util.find_spec("launch_ros")
    if spec is None:
        sys.path.append(str(STAND_INS))
        return True
    return Path(spec.origin or "").is_relative_to(STAND_INS)
