"""The official code beside ours: the same weights in the network of a checkout of naver/multi-hmr, on the same machine.

Its network alone is built: backbone, detection, head and read-outs. The body model is left out, and so are pictures and
drawing, because they need files that may not be shipped. Nothing of its code is here; what its constructor wants and
its forward does not is stood in for.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MethodType, ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.backends.torch_backend import PRECISIONS
from ros2_multihmr.measuring.borrowed import borrowed
from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.official import BACKBONES, is_official_smplx, official_config
from ros2_multihmr.model.official_file import OFFICIAL_SUFFIXES, read_official_file

NAMES = ("model", "blocks", "utils", "dinov2")
NEEDED = ("einops", "roma")
UNUSED = ("pyrender", "trimesh", "smplx", "smplx.joint_names")
BODY = "smpl_layer."
_LETTERS = dict(zip(BACKBONES, "sbl", strict=True))
_HUB_FOLDER = "facebookresearch_dinov2_main"  # where torch.hub keeps it once the official code ran
_POSE, _CAMERA = 144, 3  # numbers in the file of mean parameters


@dataclass(frozen=True)
class Found:
    """What the official network finds in one image.

    Attributes:
        scores: (N,) detection scores, in raster order.
        loc_px: (N, 2) where people's heads are [px of the square input].
    """

    scores: Tensor
    loc_px: Tensor


class Peer:
    """The official network without its body, with the backbone's attention on SDPA.

    Args:
        model: Its network, weights loaded.
        device: Where it runs.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model, self._device = model.eval().requires_grad_(False).to(device), device

    def infer(self, pixels: Tensor, k: Tensor, threshold: float, nms_kernel: int, precision: str) -> Found:
        """Runs it on one image as its demo does.

        Args:
            pixels: (1, 3, S, S) normalised image, padding and all.
            k: (1, 3, 3) intrinsics.
            threshold: Score from which a token is a person.
            nms_kernel: Side of the window of suppression.
            precision: "float32", or a 16-bit one through automatic mixed precision, as the demo has it.
        """
        dtype = PRECISIONS[precision]
        mixed = nullcontext() if dtype == torch.float32 else torch.autocast(self._device.type, dtype)
        pixels, k = pixels.to(self._device), k.to(self._device)
        with torch.inference_mode(), mixed:
            people = self._model(pixels, K=k, det_thresh=threshold, nms_kernel_size=nms_kernel)
        scores, places = ([person[name] for person in people] for name in ("scores", "loc"))
        empty = torch.zeros(0, device=self._device)
        return Found(torch.stack(scores) if scores else empty, torch.stack(places) if places else empty.view(0, 2))


def open_peer(checkout: str | Path, backbone: str | Path, weights: str | Path, device: torch.device) -> Peer:
    """Builds the official network and loads an official file into it. This runs the checkouts' code.

    Args:
        checkout: Folder with naver/multi-hmr.
        backbone: Folder with facebookresearch/dinov2, which its backbone comes from; "" for PyTorch Hub's copy.
        weights: An official file of the SMPL-X family.
        device: Where it runs.

    Raises:
        ValueError: The weights are of another kind, or folders or packages are missing; says what to do.
        WeightsError: The file is damaged.
    """
    checkout, weights = Path(checkout).expanduser(), Path(weights).expanduser()
    folder = Path(backbone).expanduser() if backbone else Path(torch.hub.get_dir()) / _HUB_FOLDER
    _check_folder(checkout / "model.py", "--peer", "git clone https://github.com/naver/multi-hmr")
    _check_folder(folder / "hubconf.py", "--peer-backbone", "git clone https://github.com/facebookresearch/dinov2")
    if weights.suffix not in OFFICIAL_SUFFIXES:
        raise ValueError(f"--peer wants --weights FILE.pt, an official file, which both can read; got {weights}")
    state, args = read_official_file(weights)
    if not is_official_smplx(state):
        raise ValueError(f"--peer compares the SMPL-X networks; {weights} is of the Anny family")
    config = official_config(state, args, weights.name)
    with borrowed([checkout, folder], NAMES, UNUSED), _without_files():
        model = _build(_import("model"), config)
    _load(model, state, weights)
    _put_on_sdpa(model, config.depth)
    return Peer(model, device)


def _check_folder(file: Path, flag: str, remedy: str) -> None:
    if not file.is_file():
        raise ValueError(f"{flag}: there is no {file}; `{remedy}`, and give the folder with {flag}")


def _import(name: str) -> ModuleType:
    for package in NEEDED:
        try:
            importlib.import_module(package)
        except ImportError:
            raise ValueError(f"--peer: the official code needs {package}: pip install {' '.join(NEEDED)}") from None
    return importlib.import_module(name)


@contextmanager
def _without_files() -> Iterator[None]:
    """Lets the backbone be made without a network connection, from the folder that is being imported from."""

    def from_folder(_repository: str, name: str, pretrained: bool = False) -> nn.Module:
        backbones = importlib.import_module("dinov2.hub.backbones")
        made: nn.Module = getattr(backbones, name)(pretrained=False)
        return made

    with patch.object(torch.hub, "load", from_folder):
        yield


def _build(module: ModuleType, config: MultiHMRConfig) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        means = Path(folder) / "means.npz"  # the weights bring the numbers
        np.savez(means, pose=np.zeros(_POSE), shape=np.zeros(10), cam=np.zeros(_CAMERA))
        with patch.multiple(module, SMPL_Layer=_NoBody, MEAN_PARAMS=str(means)):
            built: nn.Module = module.Model(
                backbone=f"dinov2_vit{_LETTERS[config.width]}14",
                img_size=config.image_size,
                camera_embedding_num_bands=config.num_bands,
                camera_embedding_max_resolution=config.max_resolution,
                xat_depth=config.hph_depth,
                xat_num_heads=config.hph_heads,
                num_betas=config.num_shape,
            )
    return built


class _NoBody(nn.Module):
    """In place of the body: as many people, none of whom has a mesh."""

    def __init__(self, **_settings: Any) -> None:
        super().__init__()

    def forward(self, rotvec: Tensor, *_: Any, **__: Any) -> dict[str, Tensor]:
        nothing = rotvec[:, 0]
        return dict.fromkeys(("transl", "transl_pelvis", "v3d", "j3d", "j2d"), nothing)


def _load(model: nn.Module, state: dict[str, Tensor], weights: Path) -> None:
    own = {name: tensor for name, tensor in state.items() if not name.startswith(BODY)}
    found = model.load_state_dict(own, strict=False)
    wrong = [name for name in (*found.missing_keys, *found.unexpected_keys) if not name.startswith(BODY)]
    if wrong:
        raise ValueError(f"{weights}: does not fit this checkout's network: {', '.join(wrong[:4])}")


def _put_on_sdpa(model: nn.Module, depth: int) -> None:
    """Gives the backbone's attention, whatever the checkout has there, PyTorch's fused one."""
    blocks = [module for module in model.modules() if hasattr(module, "qkv") and hasattr(module, "num_heads")]
    if len(blocks) != depth:
        raise ValueError(f"--peer-backbone: expected {depth} layers of attention, found {len(blocks)}")
    for block in blocks:
        block.forward = MethodType(_attend, block)  # type: ignore[method-assign]


def _attend(block: Any, tokens: Tensor, *_: Any, **__: Any) -> Tensor:
    batch, count, width = tokens.shape
    qkv = block.qkv(tokens).reshape(batch, count, 3, block.num_heads, width // block.num_heads).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(*qkv.unbind(0))
    out: Tensor = block.proj(attended.transpose(1, 2).reshape(batch, count, width))
    return out
