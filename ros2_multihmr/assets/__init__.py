"""Files that come with the package: bodies, weights, sample photographs."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).parent


def asset(name: str) -> Path:
    """Returns the path of a file that comes with the package.

    Args:
        name: Path below `ros2_multihmr/assets`, for example "bodies/anny.npz".

    Raises:
        FileNotFoundError: The installation lacks the file.
    """
    path = _ROOT / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from this installation of ros2_multihmr: install the package again")
    return path
