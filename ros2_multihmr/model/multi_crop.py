"""Multi-crop human mesh recovery (arXiv:2402.02074): a person read from several crops, one body, tied cameras.

The paper regresses a mesh for every crop and uses the first; here all crops of a person share one body, hands, jaw and
expression included. Every crop has a camera of its own, or, by configuration, one camera decides the others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ros2_multihmr.body.body_model import BodyModel, BodyOutput
from ros2_multihmr.model.crop_cameras import CropBoxes, box_infos, common_translation, full_translations
from ros2_multihmr.model.crop_encoders import make_encoder
from ros2_multihmr.model.crop_fusion import make_fusion
from ros2_multihmr.model.crop_regressor import BodyState, CropRegressor
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.model.read_outs import rotation_from_6d


class CropPeople(NamedTuple):
    """P people, each from N crops.

    Attributes:
        rotmats: (P, R, 3, 3) rotations of `BodyInfo.posed_joints`; the first turns the model's axes into the camera's.
        shape: (P, S) shape parameters.
        expression: (P, E) expression parameters.
        cameras: (P, N, 3) local cameras s, tx, ty, see `crop_cameras`.
        translations: (P, N, 3) where each crop puts the root joint in the full camera's optical frame [m].
        translation: (P, 3) where they put it together [m].
        embeddings: (P, N, D) unit vectors for the contrastive loss; (P, N, 0) outside training, or without the head.
    """

    rotmats: Tensor
    shape: Tensor
    expression: Tensor
    cameras: Tensor
    translations: Tensor
    translation: Tensor
    embeddings: Tensor


class ContrastiveHead(nn.Module):
    """From features to what the contrastive loss compares; for training alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Maps features (P, N, D) to unit vectors (P, N, D)."""
        if not features.numel():  # there is no statistic of nobody
            return features
        gated = features * torch.sigmoid(torch.relu(features))
        return F.normalize(self.layers(gated.flatten(0, 1)), dim=-1).view_as(features)


class MultiCrop(nn.Module):
    """The network. All crops of all people are one batch of its encoder.

    Attributes:
        config: Its configuration.
    """

    def __init__(self, config: MultiCropConfig) -> None:
        """Makes the network; its weights are yet to be loaded or drawn.

        Raises:
            ImportError: Its encoder is one of `timm`, which is not installed.
        """
        super().__init__()
        self.config = config
        self.encoder = make_encoder(config)
        width = self.encoder.width
        self.contrastive = ContrastiveHead(width) if config.contrastive else None
        self.fusion = make_fusion(config, width)
        self.regressor = CropRegressor(config, width)

    def forward(self, pixels: Tensor, boxes: CropBoxes, k: Tensor, start: BodyState | None = None) -> CropPeople:
        """Regresses P people, also none.

        Args:
            pixels: (P, N, 3, h, w) normalised pictures of their crops, see `crops.network_crops`; for the encoder roi
                (P, N, C, rows, columns), see `refining.first_pass.roi_align`.
            boxes: P x N rectangles that the pictures show.
            k: (P, 3, 3) intrinsics of the images they were cut from [px].
            start: People to correct, see `crop_regressor.state_of`; None: the network's own start.

        Raises:
            ValueError: The pictures, boxes or intrinsics have the wrong shape.
        """
        return self.regress(self.encode(pixels), boxes, k, start)

    def encode(self, pixels: Tensor) -> Tensor:
        """Maps pictures (P, N, 3, h, w), or what else the encoder reads, to features (P, N, D)."""
        shape = (pixels.shape[0], self.config.num_crops)
        self._check("pixels", pixels, (*shape, *self.config.encoder_input))
        return self.encoder(pixels.flatten(0, 1)).view(*shape, self.encoder.width)

    def regress(self, features: Tensor, boxes: CropBoxes, k: Tensor, start: BodyState | None = None) -> CropPeople:
        """Regresses people of features (P, N, D), wherever those come from; see `forward`."""
        people, crops = features.shape[0], self.config.num_crops
        self._check("features", features, (people, crops, self.encoder.width))
        for name, edges in boxes._asdict().items():
            self._check(f"boxes.{name}", edges, (people, crops, 2))
        self._check("k", k, (people, 3, 3))
        infos = box_infos(boxes, k)
        state = self.regressor(self.fusion(features, infos), infos, boxes, start)
        return CropPeople(
            rotmats=rotation_from_6d(state.pose.unflatten(-1, (self.config.num_rotations, 6))),
            shape=_activate(state.shape, self.config.shape_activation),
            expression=_activate(state.expression, self.config.expression_activation),
            cameras=state.cameras,
            translations=full_translations(state.cameras, boxes, k),
            translation=common_translation(state.cameras, boxes, k),
            embeddings=self.embed(features),
        )

    def embed(self, features: Tensor) -> Tensor:
        """Maps features (P, N, D) to what the contrastive loss compares; (P, N, 0) where nobody will."""
        if self.contrastive is None or not self.training:
            return features[..., :0]
        return self.contrastive(features)

    def _check(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(tensor.shape) != shape:
            raise ValueError(f"multi-crop network: {name}: expected shape {shape}, got {tuple(tensor.shape)}")


def pose_people(body: BodyModel, people: CropPeople, *, vertices: bool = False) -> BodyOutput:
    """Poses P people, their root joints where the crops put them together.

    Args:
        body: The body that the network speaks of.
        people: What it said.
        vertices: True to compute the full mesh, too.

    Returns:
        Geometry in the full camera's optical frame [m].
    """
    origin = torch.zeros_like(people.translation)
    posed = body(people.rotmats, people.shape, people.expression, origin, vertices=vertices)
    place = people.translation - posed.joints[:, 0]  # the body is placed by its center joint, the cameras by its root
    return BodyOutput(*(part + (place if part.dim() == 2 else place[:, None]) for part in posed))


def _activate(numbers: Tensor, activation: str) -> Tensor:
    return torch.sigmoid(numbers) if activation == "sigmoid" else numbers
