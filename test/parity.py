"""Golden cases on networks of ours: which network, which inputs, and what its outputs are in the official terms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from official_recipe import official_state
from scipy.spatial.transform import Rotation
from torch import Tensor

from ros2_multihmr.model.anny_multihmr import AnnyMultiHMR, camera_of_view
from ros2_multihmr.model.camera_embedding import unproject
from ros2_multihmr.model.checkpoint import assemble
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.official import official_config, rename_official
from ros2_multihmr.model.official_anny import is_official_anny, official_anny_config, rename_official_anny
from ros2_multihmr.model.raw_outputs import RawOutputs

SMPLX_CASES = ("S448_a_default", "S448_c_batch2", "S448_d_batch4_empty_1_2", "S448_e_nobody", "S224_b11")
ANNY_CASES = ("anny_S_224_a_regressedK", "anny_S_224_d_nobody")
VERTEX_STEP = 7  # one vertex in so many is recorded


def network_of(case: dict[str, Any]) -> Network:
    """The random network of a case."""
    return _network(*(case["recipe"][name] for name in ("keys", "fixed", "seed")))


@functools.lru_cache(maxsize=3)
def _network(keys: str, fixed: str, seed: int) -> Network:
    state = official_state(keys, fixed, seed)
    if is_official_anny(state):
        config = official_anny_config(state, {"img_size": 224, "num_betas": 11, "simple_depth_encoding": 1}, "random")
        return assemble(config, rename_official_anny(state, config), "recipe")
    config = official_config(state, {}, "random")
    return assemble(config, rename_official(state, config), "recipe")


def run(model: Network, case: dict[str, Any]) -> RawOutputs:
    """What the network returns for a case."""
    with torch.inference_mode():
        outputs: RawOutputs = model(case["pixels"], intrinsics(case), torch.tensor(float(case["det_thresh"])))
    return outputs


def intrinsics(case: dict[str, Any]) -> Tensor:
    """Its cameras, (B, 3, 3); where the official network guessed them, ours guesses them, too."""
    if "K" in case:
        return torch.from_numpy(case["K"]).float()
    model = network_of(case)
    assert isinstance(model, AnnyMultiHMR)
    with torch.inference_mode():
        return camera_of_view(model.field_of_view(case["pixels"]), model.config.image_size)


def cells(outputs: RawOutputs) -> Tensor:
    """(3, N) image, row and column of everyone."""
    image, slot = outputs.mask.nonzero(as_tuple=True)
    return torch.stack([image, *outputs.cells[image, slot].unbind(-1)])


def places(outputs: RawOutputs, k: Tensor) -> Tensor:
    """(N, 3) where everyone's head is."""
    return (outputs.depth[..., None] * unproject(k, outputs.loc_px))[outputs.mask]


def rotvecs(rotmats: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Axis-angle (N, R, 3) of (N, R, 3, 3)."""
    return Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec().reshape(*rotmats.shape[:2], 3)


def people(outputs: RawOutputs, k: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Everyone, stacked over the images."""
    mask = outputs.mask
    return {
        "scores": outputs.scores[mask].numpy(),
        "loc": outputs.loc_px[mask].numpy(),
        "transl": places(outputs, k).numpy(),
        "rotvec": rotvecs(outputs.rotmats[mask].double().numpy()),
        "expression": outputs.expression[mask].numpy(),
        "shape": outputs.shape[mask].numpy(),
    }
