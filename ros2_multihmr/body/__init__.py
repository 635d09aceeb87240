"""Parametric bodies: the free Anny, and SMPL-X from the user's own file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ros2_multihmr.body.anny import load_anny
from ros2_multihmr.body.anny_official import load_official_anny
from ros2_multihmr.body.body_model import BodyInfo, BodyModel, BodyOutput
from ros2_multihmr.body.smplx import GENDERS, NUM_BETAS, NUM_EXPRESSION, load_smplx
from ros2_multihmr.body.smplx_file import find_model

__all__ = ["DEFAULT_BODY_MODELS", "BodyInfo", "BodyModel", "BodyOutput", "create_body"]

DEFAULT_BODY_MODELS = "~/.local/share/multihmr/body_models"
_SMPLX = re.compile(
    rf"smplx(?:_(?P<gender>{'|'.join(GENDERS)}))?(?:_(?P<betas>\d+))?(?:_expression(?P<expression>\d+))?(?P<eyes>_eyes)?"
)


def create_body(
    name: str, body_models_dir: str | Path = "", *, stored: Mapping[str, Tensor] | None = None
) -> BodyModel:
    """Opens a body.

    Args:
        name: "anny"; "anny_official", as the official checkpoints know it; "smplx" (neutral), "smplx_male",
            "smplx_female"; with a number for other than 10 shape components ("smplx_11", "smplx_male_300"), then
            "_expression100" or another number for other than 10 expression components, and "_eyes" behind for eyes
            with rotations.
        body_models_dir: Folder of the user's own body models; empty: `DEFAULT_BODY_MODELS`.
        stored: What a checkpoint has of SMPL-X, which takes the place of the file's, see `smplx.load_smplx`.

    Raises:
        ValueError: No body has that name, its file is malformed, or `stored` is of another body.
        FileNotFoundError: The body's file is missing; says where to get it and where to put it.
    """
    if stored and not name.startswith("smplx"):
        raise ValueError(f"the checkpoint carries a SMPL-X body, but its network wants {name!r}: get the file again")
    if name == "anny":
        return load_anny()
    if name == "anny_official":
        return load_official_anny()
    smplx = _SMPLX.fullmatch(name)
    if smplx:
        gender = smplx["gender"] or "neutral"
        folder = Path(body_models_dir or DEFAULT_BODY_MODELS).expanduser()
        return load_smplx(
            find_model(folder, gender),
            gender,
            int(smplx["betas"] or NUM_BETAS),
            num_expression=int(smplx["expression"] or NUM_EXPRESSION),
            pose_eyes=bool(smplx["eyes"]),
            stored={key: tensor.cpu().numpy() for key, tensor in (stored or {}).items()},
        )
    raise ValueError(
        f"No body is called {name!r}: known are anny, smplx, smplx_male, smplx_female, smplx_11 and anny_official"
    )
