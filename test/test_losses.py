"""Loss terms: values, gradients, nobody."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import pytest
import torch
from scipy.spatial.transform import Rotation
from small_truth import SIZE, cameras, doubled, small_batch, small_body
from torch import Tensor

from ros2_multihmr.model.read_outs import rotation_from_6d
from ros2_multihmr.training.auxiliary import (
    AuxiliaryHeads,
    Maps,
    blobs,
    dense_terms,
    depth_loss,
    heatmap_loss,
)
from ros2_multihmr.training.losses import (
    RELEASED,
    LossWeights,
    Pairs,
    People,
    angles,
    cross_entropy,
    focal,
    mean_over,
    regression_terms,
    reprojection,
)
from ros2_multihmr.training.objective import body_layout

BODY = small_body().double()
LAYOUT = body_layout(BODY.info, SIZE)
ALL = LossWeights(full_vertices=1.0)
REGRESSION = (
    *("offset", "root", "body", "hands", "face", "shape", "expression", "depth", "translation"),
    *("keypoints", "keypoints_head", "vertices", "full_vertices", "fingers", "reprojection"),
)


class Numbers(NamedTuple):
    """What a network says of N people."""

    loc: Tensor
    center: Tensor
    pose: Tensor
    shape: Tensor
    expression: Tensor


def random_numbers(count: int, seed: int) -> Numbers:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((2,), (3,), (5, 6), (3,), (2,))
    numbers = [torch.randn(count, *size, generator=generator, dtype=torch.float64) for size in sizes]
    numbers[0] = 56 + 20 * numbers[0]
    numbers[1] = numbers[1] * 0.3 + torch.tensor([0.0, 0.0, 3.5])
    return Numbers(*numbers)


def people(numbers: Numbers) -> People:
    rotmats = rotation_from_6d(numbers.pose)
    body = BODY(rotmats, numbers.shape, numbers.expression, numbers.center, vertices=True)
    return People(
        numbers.loc, numbers.center, rotmats, numbers.shape, numbers.expression,
        body.keypoints, body.vertices_lod, body.vertices,
    )  # fmt: skip


def pairs(predicted: Numbers, true: Numbers) -> Pairs:
    count = len(true.loc)
    k = cameras(count).double()
    truth = people(true)
    rays = torch.einsum("nij,nkj->nki", k, truth.keypoints)
    visible = (torch.arange(truth.keypoints.shape[1]) % 3 > 0).double().expand(count, -1)
    return Pairs(people(predicted), truth, k, rays[..., :2] / rays[..., 2:], visible)


def terms(predicted: Numbers, true: Numbers, weights: LossWeights = ALL) -> dict[str, Tensor]:
    return regression_terms(pairs(predicted, true), LAYOUT, weights)


@pytest.mark.parametrize("kind", ["l1", "geodesic"])
def test_a_perfect_prediction_costs_nothing_and_any_other_does(kind: str) -> None:
    weights = dataclasses.replace(ALL, rotation_kind=kind)
    truth = random_numbers(3, 0)
    perfect, wrong = terms(truth, truth, weights), terms(random_numbers(3, 1), truth, weights)
    assert set(perfect) == set(REGRESSION)
    for name in REGRESSION:
        torch.testing.assert_close(perfect[name], torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0, msg=name)
        assert wrong[name].shape == (3,) and (wrong[name] > 0).all(), name


@pytest.mark.parametrize("kind", ["l1", "geodesic"])
@pytest.mark.parametrize("name", REGRESSION)
def test_gradients_are_finite_differences(name: str, kind: str) -> None:
    weights = dataclasses.replace(ALL, rotation_kind=kind)
    truth = random_numbers(2, 2)
    start = [number.requires_grad_() for number in random_numbers(2, 3)]
    assert torch.autograd.gradcheck(lambda *n: terms(Numbers(*n), truth, weights)[name].sum(), start, fast_mode=True)


@pytest.mark.parametrize("kind", ["l1", "geodesic"])
def test_gradients_are_finite_at_the_truth_and_with_nobody(kind: str) -> None:
    weights = dataclasses.replace(ALL, rotation_kind=kind)
    for count in (3, 0):
        truth = random_numbers(count, 4)
        start = [number.clone().requires_grad_() for number in truth]
        got = terms(Numbers(*start), truth, weights)
        total = sum(mean_over(term, torch.tensor(float(count))) for term in got.values())
        total.backward()
        assert abs(total.item()) < 1e-9 and all(term.shape == (count,) for term in got.values())
        for number in start:
            assert number.grad is not None and number.grad.isfinite().all()


def test_terms_without_weight_are_left_out() -> None:
    truth = random_numbers(2, 0)
    assert set(terms(truth, truth, LossWeights())) == set(REGRESSION) - {"full_vertices"}
    released = set(terms(truth, truth, RELEASED))
    assert released.isdisjoint({"expression", "keypoints_head", "fingers", "reprojection", "full_vertices"})


def test_people_are_independent() -> None:
    predicted, truth = random_numbers(3, 5), random_numbers(3, 6)
    whole = regression_terms(pairs(predicted, truth), LAYOUT, ALL)
    order = [2, 0, 1]
    mixed = pairs(predicted, truth)
    mixed = Pairs(
        *(People(*(a[order] for a in people)) for people in mixed[:2]), *(array[order] for array in mixed[2:])
    )
    for name, term in regression_terms(mixed, LAYOUT, ALL).items():
        torch.testing.assert_close(term, whole[name][order])


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 30.0, 90.0, 179.0, 180.0])
def test_angles_between_rotations(degrees: float) -> None:
    turn = Rotation.from_rotvec([0.0, math.radians(degrees), 0.0]).as_matrix()
    start = torch.tensor(Rotation.from_rotvec([0.3, -0.2, 1.0]).as_matrix())
    predicted = (start @ torch.tensor(turn)).requires_grad_()
    angle = angles(predicted, start)
    angle.backward()
    assert math.degrees(angle.item()) == pytest.approx(degrees, abs=0.2 if degrees == 180 else 1e-6)
    assert predicted.grad is not None and predicted.grad.isfinite().all()


def test_reprojection_asks_for_visible_keypoints_alone_and_survives_the_camera_plane() -> None:
    k = cameras(1)
    keypoints = torch.tensor([[[0.1, 0.2, 2.0], [0.0, 0.0, -1.0], [0.3, 0.0, 0.0]]], requires_grad=True)
    px = torch.tensor([[[61.0, 65.0], [5.0, 5.0], [0.0, 0.0]]])
    got = reprojection(keypoints, k, px, torch.tensor([[1.0, 0.0, 0.0]]), SIZE)
    torch.testing.assert_close(got, torch.zeros(1))
    reprojection(keypoints, k, px + 7, torch.ones(1, 3), SIZE).sum().backward()
    assert keypoints.grad is not None and keypoints.grad.isfinite().all()
    assert reprojection(keypoints, k, px, torch.zeros(1, 3), SIZE).item() == 0


def written_out_focal(scores: list[float], targets: list[float]) -> float:
    total = 0.0
    for score, target in zip(scores, targets):
        if target == 1:
            total -= (1 - score) ** 2 * math.log(score)
        else:
            total -= (1 - target) ** 4 * score**2 * math.log(1 - score)
    return total


def test_focal_loss_is_the_written_out_one() -> None:
    scores, targets = [0.2, 0.9, 0.5, 0.01, 0.7], [1.0, 1.0, 0.0, 0.0, 0.6]
    logits, target = torch.logit(torch.tensor([scores])), torch.tensor([targets])
    counts = torch.tensor([[True] * 5])
    assert focal(logits, target, counts).item() == pytest.approx(written_out_focal(scores, targets), rel=1e-5)
    counts[0, 1:3] = False
    kept = written_out_focal([0.2, 0.01, 0.7], [1.0, 0.0, 0.6])
    assert focal(logits, target, counts).item() == pytest.approx(kept, rel=1e-5)


def test_cross_entropy_is_the_written_out_one() -> None:
    scores, targets = [0.2, 0.9, 0.5], [1.0, 0.0, 0.0]
    expected = -(math.log(0.2) + math.log(0.1))
    counts = torch.tensor([[True, True, False]])
    got = cross_entropy(torch.logit(torch.tensor([scores])), torch.tensor([targets]), counts)
    assert got.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [focal, cross_entropy])
def test_detection_losses_have_gradients_and_never_saturate(loss: object) -> None:
    target = torch.tensor([[1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    counts = torch.tensor([[True, True, False, True]])
    logits = torch.tensor([[0.3, -0.4, 1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    assert callable(loss) and torch.autograd.gradcheck(lambda x: loss(x, target, counts), (logits,))
    extreme = torch.tensor([[-90.0, 90.0, 90.0, 90.0]], requires_grad=True)
    loss(extreme, target.float(), counts).sum().backward()
    assert extreme.grad is not None and extreme.grad.isfinite().all()
    assert extreme.grad[0, 0] < 0 < extreme.grad[0, 1] and extreme.grad[0, 2] == 0


def test_shares_of_several_machines_add_up() -> None:
    values = torch.rand(7)
    everyone = torch.tensor(7.0)
    parts = mean_over(values[:3], everyone) + mean_over(values[3:], everyone) + mean_over(values[:0], everyone)
    torch.testing.assert_close(parts, mean_over(values, everyone))
    assert mean_over(values[:0], torch.tensor(0.0)).item() == 0


NAMES = BODY.info.keypoint_names


def random_maps(heads: AuxiliaryHeads, seed: int = 0) -> Maps:
    generator = torch.Generator().manual_seed(seed)
    maps: Maps = heads(torch.randn(2, 64, 8, generator=generator, dtype=torch.float64))
    return maps


def test_helper_heads_give_each_token_its_four_cells() -> None:
    heads = AuxiliaryHeads(8, NAMES).double()
    tokens = torch.zeros(1, 64, 8, dtype=torch.float64)
    tokens[0, 2 * 8 + 5] = 1.0
    changed = heads(tokens).parts - heads(torch.zeros_like(tokens)).parts
    assert sorted(set(map(tuple, changed.nonzero()[:, 2:].tolist()))) == [(4, 10), (4, 11), (5, 10), (5, 11)]
    assert [NAMES[index] for index in heads.keypoints] == ["head", "nose", "neck", "pelvis", "left_wrist"]


def test_helper_terms_have_gradients() -> None:
    heads, batch = AuxiliaryHeads(8, NAMES).double(), doubled(small_batch())

    def total(*maps: Tensor) -> Tensor:
        got = [*dense_terms(Maps(*maps), batch, ALL).values()]
        return torch.stack([*got, heatmap_loss(maps[3], batch, heads.keypoints)]).sum()

    maps = [level.detach().requires_grad_() for level in random_maps(heads)]
    assert torch.autograd.gradcheck(total, maps, fast_mode=True)


def test_perfect_depth_costs_nothing_and_a_longer_lens_sees_things_nearer() -> None:
    batch = small_batch()
    assert batch.dense is not None
    focal_lengths = (batch.k[:, 0, 0] * batch.k[:, 1, 1]).sqrt() / (SIZE / (2 * math.tan(math.radians(30))))
    nearness = (focal_lengths[:, None, None] / batch.dense.depth).log()
    torch.testing.assert_close(depth_loss(nearness, batch.dense, batch.k), torch.zeros(2), atol=1e-6, rtol=0)
    assert (depth_loss(nearness, batch.dense, 2 * batch.k) > 0.5).all()


def test_images_without_dense_truth_cost_nothing_but_keep_their_gradients() -> None:
    heads = AuxiliaryHeads(8, NAMES).double()
    for dense in (None, doubled(small_batch()).dense):
        batch = dataclasses.replace(doubled(small_batch()), dense=dense)
        if dense is not None:
            batch = dataclasses.replace(batch, dense=dataclasses.replace(dense, valid=torch.zeros_like(dense.valid)))
        got = dense_terms(random_maps(heads), batch, ALL)
        assert set(got) == {"person_mask", "person_parts", "person_depth"}
        assert all((term == 0).all() and term.requires_grad for term in got.values())


def test_blobs_lie_at_visible_keypoints_of_real_people() -> None:
    batch = small_batch(seed=3)
    drawn = blobs(batch, range(len(NAMES)), SIZE // 7)
    expected = torch.zeros_like(drawn, dtype=torch.bool)
    for b, p, k in (batch.people[..., None] & (batch.keypoint_visible > 0)).nonzero().tolist():
        x, y = (batch.keypoints_px[b, p, k] // 7).long().tolist()
        expected[b, k, y, x] = True
    assert torch.equal(drawn == 1, expected) and drawn.min() >= 0
    beside = torch.nn.functional.max_pool2d(expected.float(), 3, 1, 1) > expected.float()
    assert (drawn[beside] >= math.exp(-1.0) - 1e-6).all()
