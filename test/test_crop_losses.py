"""Losses among crops: against written-out references, where they are zero, and nobody."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ros2_multihmr.model.crop_cameras import CropBoxes, derived_cameras, local_cameras
from ros2_multihmr.training.crop_losses import CropLossWeights, camera_loss, contrastive_loss, crop_terms


def embeddings(people: int, crops: int, width: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(people, crops, width, generator=generator, dtype=torch.float64), dim=-1)


def made_up(people: int = 3, crops: int = 4, seed: int = 0) -> tuple[CropBoxes, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def drawn(low: float, high: float, last: int) -> Tensor:
        return low + (high - low) * torch.rand(people, crops, last, generator=generator, dtype=torch.float64)

    boxes = CropBoxes(drawn(0, 900, 2), drawn(50, 300, 2))
    return boxes, torch.cat([drawn(0.5, 1.5, 1), drawn(-1, 1, 2)], -1)


def contrastive_written_out(z: Tensor, tau: float) -> float:
    everyone = [(person, crop) for person in range(z.shape[0]) for crop in range(z.shape[1])]
    total = 0.0
    for i in everyone:
        positives = [p for p in everyone if p[0] == i[0] and p != i]
        others = sum(math.exp(float(z[i] @ z[a]) / tau) for a in everyone if a != i)
        total -= sum(math.log(math.exp(float(z[i] @ z[p]) / tau) / others) for p in positives) / len(positives)
    return tau * total / len(everyone)


def cameras_written_out(boxes: CropBoxes, cameras: Tensor, person: int) -> float:
    b, c = boxes.side[person].tolist(), boxes.center[person].tolist()
    total, pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(b)), 2):
        (si, xi, yi), (sj, xj, yj) = cameras[person, i].tolist(), cameras[person, j].tolist()
        scale = math.sqrt(b[i] * si * b[j] * sj)
        total += math.log(b[i] * si / (b[j] * sj)) ** 2
        total += (xi - xj - 2 * (c[j][0] - c[i][0]) / scale) ** 2 + (yi - yj - 2 * (c[j][1] - c[i][1]) / scale) ** 2
        pairs += 1
    return total / pairs


@pytest.mark.parametrize(("people", "crops"), [(1, 2), (2, 2), (3, 5)])
@pytest.mark.parametrize("tau", [0.5, 0.1])
def test_contrastive_equals_what_is_written(people: int, crops: int, tau: float) -> None:
    z = embeddings(people, crops)
    each = contrastive_loss(z, tau)
    assert each.shape == (people,)
    assert each.mean().item() == pytest.approx(contrastive_written_out(z, tau), rel=1e-12)


def test_contrastive_by_hand() -> None:
    """Two people, two crops each, every person a direction: each crop has one positive and two negatives."""
    z = torch.tensor([[[1.0, 0], [1, 0]], [[0, 1], [0, 1]]], dtype=torch.float64)
    expected = -0.5 * math.log(math.exp(2) / (math.exp(2) + 2))
    torch.testing.assert_close(contrastive_loss(z), torch.full((2,), expected, dtype=torch.float64))
    mixed = z.transpose(0, 1)
    assert (contrastive_loss(mixed) > contrastive_loss(z)).all()


def test_contrastive_of_one_person_alone_has_no_negatives() -> None:
    z = embeddings(1, 2)
    torch.testing.assert_close(contrastive_loss(z), torch.zeros(1, dtype=torch.float64))


def test_contrastive_falls_while_it_is_learned() -> None:
    free = embeddings(4, 5, 8).requires_grad_()
    optimiser = torch.optim.Adam([free], lr=0.1)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = contrastive_loss(F.normalize(free, dim=-1)).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    z = F.normalize(free.detach(), dim=-1)
    similar = torch.einsum("pid,qjd->pqij", z, z).mean((2, 3))
    assert losses[-1] < losses[0] - 0.3
    assert similar.diagonal().min() > similar.masked_fill(torch.eye(4, dtype=torch.bool), -1).max()


def test_cameras_equal_what_is_written() -> None:
    boxes, cameras = made_up()
    each = camera_loss(cameras, boxes)
    for person in range(3):
        assert each[person].item() == pytest.approx(cameras_written_out(boxes, cameras, person), rel=1e-12)


def test_consistent_cameras_cost_nothing() -> None:
    boxes, cameras = made_up(200, 5)
    assert camera_loss(derived_cameras(cameras[:, 0], boxes), boxes).max() < 1e-24
    k = torch.tensor([[[700.0, 0, 90], [0, 500, 610], [0, 0, 1]]], dtype=torch.float64).expand(200, -1, -1)
    place = torch.cat([cameras[:, :1, 1:], 2 + cameras[:, :1, :1]], -1)
    assert camera_loss(local_cameras(place, boxes, k), boxes).max() < 1e-24


def test_numbers_without_rounding_cost_exactly_nothing() -> None:
    center = torch.tensor([[[64.0, 32], [80, 32], [64, 96]]])
    boxes = CropBoxes(center, torch.tensor([64.0, 128, 32])[None, :, None].expand(-1, -1, 2))
    cameras = derived_cameras(torch.tensor([[0.5, 0.25, -0.5]]), boxes)
    assert camera_loss(cameras, boxes).tolist() == [0.0]


def test_consistent_means_zero_in_single_precision_too() -> None:
    boxes, cameras = made_up(200, 9)
    single = CropBoxes(*(edges.float() for edges in boxes))
    assert camera_loss(derived_cameras(cameras[:, 0].float(), single), single).max() < 1e-9


@pytest.mark.parametrize("error", [(0.0, 0.1, -0.1), (0.0, -0.1, 0.1), (0.0, 0.1, 0.0), (0.1, 0.0, 0.0)])
def test_no_error_makes_up_for_another(error: tuple[float, float, float]) -> None:
    boxes, cameras = made_up()
    cameras = derived_cameras(cameras[:, 0], boxes)
    for crop in range(4):
        wrong = cameras.clone()
        wrong[:, crop] += torch.tensor(error, dtype=torch.float64)
        assert (camera_loss(wrong, boxes) > 1e-3).all()


def test_opposite_errors_cost_both() -> None:
    boxes, cameras = made_up()
    cameras = derived_cameras(cameras[:, 0], boxes)
    cameras[:, 1, 1:] += torch.tensor([0.2, -0.2], dtype=torch.float64)
    # Three of six pairs see it, .2 squared in x and in y.
    torch.testing.assert_close(camera_loss(cameras, boxes), torch.full((3,), 3 / 6 * 0.08, dtype=torch.float64))


@pytest.mark.parametrize(("people", "crops"), [(0, 5), (0, 1), (3, 1)])
def test_nobody_and_one_crop(people: int, crops: int) -> None:
    z = embeddings(people, crops).requires_grad_()
    boxes, cameras = made_up(people, crops)
    cameras.requires_grad_()
    terms = crop_terms(z, cameras, boxes, CropLossWeights())
    assert sorted(terms) == ["camera", "contrastive"]
    for term in terms.values():
        assert term.shape == (people,) and not term.any()
    sum(term.sum() for term in terms.values()).backward()
    assert torch.isfinite(z.grad).all() and torch.isfinite(cameras.grad).all()


def test_gradients_are_right() -> None:
    boxes, cameras = made_up(2, 3)
    assert torch.autograd.gradcheck(lambda x: camera_loss(x, boxes), cameras.requires_grad_())
    assert torch.autograd.gradcheck(contrastive_loss, embeddings(2, 2).requires_grad_())


def test_each_loss_can_be_switched_off() -> None:
    boxes, cameras = made_up()
    z = embeddings(3, 4)
    assert list(crop_terms(z, cameras, boxes, CropLossWeights(camera=0.0))) == ["contrastive"]
    assert list(crop_terms(z[..., :0], cameras, boxes, CropLossWeights(contrastive=0.0))) == ["camera"]
    with pytest.raises(ValueError, match="no embeddings"):
        crop_terms(z[..., :0], cameras, boxes, CropLossWeights())
