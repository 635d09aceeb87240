"""Weights from file to file, and what a file holds in a few words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.model.config import PATCH, MultiHMRConfig
from ros2_multihmr.model.export_form import ExportForm
from ros2_multihmr.model.network import Network
from ros2_multihmr.uncertainty import Sigmas

FAMILIES = {
    "multihmr": "Multi-HMR of this package",
    "official_smplx": "official Multi-HMR, SMPL-X family",
    "official_anny": "official Multi-HMR, Anny family",
}
# Of the released files. Their terms want the notice to stay with every copy: conversions and exports carry it.
LICENCES = {
    "official_smplx": (
        "Multi-HMR Checkpoints, Copyright (c) 2024 Naver Corporation, under the Multi-HMR Checkpoint License: "
        "non-commercial research, education and art only; "
        "see Checkpoint_License.txt of https://github.com/naver/multi-hmr"
    ),
    "official_anny": (
        "Multi-HMR checkpoint for the Anny body, Copyright Naver Corporation, for non-commercial use only; "
        "see https://download.europe.naverlabs.com/ComputerVision/MultiHMR/Checkpoint_License_Anny.txt"
    ),
}
_SIZES = {192: "T", 384: "S", 768: "B", 1024: "L"}


@dataclass(frozen=True)
class WeightsSummary:
    """What a weights file holds.

    Attributes:
        name: Name of the weights.
        family: Whose network it is.
        backbone: For example "ViT-L/14, 24 blocks".
        image_size: Side of the square input [px].
        parameters: How many numbers were learned; 0 if the file does not tell.
        file_bytes: Size of the file.
        body: Body whose parameters come out, see `body.create_body`.
        untrained: True if the weights were drawn at random.
        licence: What its use is bound to; empty if the package knows nothing of it.
        sigmas: How wrong people's places are, as measured; zeros where nobody did.
        form: What the export fixed; None for weights.
    """

    name: str
    family: str
    backbone: str
    image_size: int
    parameters: int
    file_bytes: int
    body: str
    untrained: bool
    licence: str
    sigmas: Sigmas
    form: ExportForm | None = None

    def text(self) -> str:
        """Returns the summary in one line."""
        size = f"{self.parameters / 1e6:.1f} M parameters, " if self.parameters else ""
        state = "UNTRAINED, people are random" if self.untrained else ""
        places = f"places to {self.sigmas.position_px:.1f} px and {100 * self.sigmas.depth:.1f} % of the distance"
        sure = places if all(self.sigmas) else "covariance not measured"
        parts = (self.family, self.backbone, f"{self.image_size} px", f"{size}{self.file_bytes / 1e6:.1f} MB")
        form = self.form.text() if self.form else ""
        return "; ".join(part for part in (*parts, form, f"body {self.body}", sure, state, self.licence) if part)


def convert_weights(
    source: str | Path, out: str | Path, *, half: bool = False, padding: str = "keep"
) -> WeightsSummary:
    """Brings weights, official ones too, to our own format: safetensors with the configuration in the metadata.

    Args:
        source: A weights file that `load_weights` reads.
        out: File to write, ending in .safetensors.
        half: True to store 16-bit numbers: half the size; about three digits are kept.
        padding: One of `PADDINGS`, how the weights are meant to see images that are no squares; "keep": as before.

    Returns:
        What the new file holds.

    Raises:
        WeightsError: The source is missing, damaged, or not what was expected.
        ValueError: `out` has another ending, or `half` was asked for and a number is too big for it.
    """
    model = load_weights(source)
    if padding != "keep":
        model.config = dataclasses.replace(model.config, padding=padding)
    save_weights(model, out, half=half, licence=licence_of(model.config))
    return summarise(model.config, Path(out), _count(model))


def describe_weights(path: str | Path) -> WeightsSummary:
    """Loads a weights file, which checks it, and says what it holds.

    Raises:
        WeightsError: The file is missing, damaged, or not what was expected.
    """
    model = load_weights(path)
    return summarise(model.config, Path(path).expanduser(), _count(model))


def licence_of(config: MultiHMRConfig) -> str:
    """Returns what the use of a network is bound to; empty if the package knows nothing of it."""
    return LICENCES.get(config.kind, "")


def summarise(
    config: MultiHMRConfig, path: Path, parameters: int = 0, form: ExportForm | None = None
) -> WeightsSummary:
    """Says what a file with a network of this configuration holds; `form`: of an export."""
    return WeightsSummary(
        name=config.weights,
        family=FAMILIES[config.kind],
        backbone=f"ViT-{_SIZES.get(config.width, config.width)}/{PATCH}, {config.depth} blocks",
        image_size=config.image_size,
        parameters=parameters,
        file_bytes=path.stat().st_size,
        body=config.body,
        untrained=config.untrained,
        licence=licence_of(config),
        sigmas=config.sigmas,
        form=form,
    )


def _count(model: Network) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
