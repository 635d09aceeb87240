"""Parametric bodies: the free Anny, and SMPL-X from the user's own file."""

from __future__ import annotations

import re
from pathlib import Path

from ros2_multihmr.body.anny import load_anny
from ros2_multihmr.body.anny_official import load_official_anny
from ros2_multihmr.body.body_model import BodyInfo, BodyModel, BodyOutput
from ros2_multihmr.body.smplx import GENDERS, find_model, load_smplx

__all__ = ["DEFAULT_BODY_MODELS", "BodyInfo", "BodyModel", "BodyOutput", "create_body"]

DEFAULT_BODY_MODELS = "~/.local/share/multihmr/body_models"
_SMPLX = re.compile(rf"smplx(?:_(?P<gender>{'|'.join(GENDERS)}))?(?:_(?P<betas>\d+))?(?P<eyes>_eyes)?")


def create_body(name: str, body_models_dir: str | Path = "") -> BodyModel:
    """Opens a body.

    Args:
        name: "anny"; "anny_official", as the official checkpoints know it; "smplx" (neutral), "smplx_male",
            "smplx_female"; with a number for other than 10 shape components ("smplx_11", "smplx_male_11"), and with
            "_eyes" behind for eyes with rotations.
        body_models_dir: Folder of the user's own body models; empty: `DEFAULT_BODY_MODELS`.

    Raises:
        ValueError: No body has that name, or its file is malformed.
        FileNotFoundError: The body's file is missing; says where to get it and where to put it.
    """
    if name == "anny":
        return load_anny()
    if name == "anny_official":
        return load_official_anny()
    smplx = _SMPLX.fullmatch(name)
    if smplx:
        gender = smplx["gender"] or "neutral"
        folder = Path(body_models_dir or DEFAULT_BODY_MODELS).expanduser()
        return load_smplx(find_model(folder, gender), gender, int(smplx["betas"] or 10), pose_eyes=bool(smplx["eyes"]))
    raise ValueError(
        f"No body is called {name!r}: known are anny, smplx, smplx_male, smplx_female, smplx_11 and anny_official"
    )
