"""Parametric bodies: the free Anny, and SMPL-X from the user's own file."""

from __future__ import annotations

from pathlib import Path

from ros2_multihmr.body.anny import load_anny
from ros2_multihmr.body.body_model import BodyInfo, BodyModel, BodyOutput

__all__ = ["BodyInfo", "BodyModel", "BodyOutput", "create_body"]


def create_body(name: str, body_models_dir: str | Path = "") -> BodyModel:
    """Opens a body.

    Args:
        name: "anny".
        body_models_dir: Folder of the user's own body-model files.

    Raises:
        ValueError: No body has that name.
    """
    if name == "anny":
        return load_anny()
    raise ValueError(f"No body is called {name!r}; known: anny")
