"""Targets: which token finds whom."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_truth import HEAD, JOINTS, SIZE, chosen, moved, small_batch, small_body
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.targets import TargetConfig, Targets, anchor_order, make_targets

INFO = small_body().info
GRID = SIZE // 14
CONFIG = TargetConfig()


def targets(batch: Batch, **changes: float) -> Targets:
    return make_targets(batch, INFO, GRID, dataclasses.replace(CONFIG, **changes))


def one(center: tuple[float, float, float], hidden: tuple[str, ...] = (), visibility: float = 1.0) -> Batch:
    """One image with one person at the first place, whose keypoints may be hidden."""
    batch = moved(small_batch(1, 2), torch.tensor([[center, (0.0, 0.0, 4.0)]]))
    visible = batch.keypoint_visible.clone()
    visible[..., [INFO.keypoint_names.index(name) for name in hidden]] = 0
    return dataclasses.replace(batch, keypoint_visible=visible, visibility=batch.visibility * visibility)


def cell_of(px: Tensor) -> list[int]:
    return [int(px[1] // 14), int(px[0] // 14)]


def test_a_visible_head_is_found_by_its_own_token() -> None:
    batch = one((0.3, -0.2, 4.0))
    got = targets(batch)
    assert got.slots.mask.tolist() == [[True, False]]
    assert got.score_map.nonzero().tolist() == [[0, *cell_of(batch.keypoints_px[0, 0, HEAD])]]
    assert got.person[0, 0] == 0 and got.counts.all()


@pytest.mark.parametrize(
    ("center", "hidden", "finder"),
    [
        ((0.0, -0.1, 4.0), ("head",), "nose"),
        ((0.0, -0.1, 4.0), ("head", "nose", "jaw"), "neck"),
        ((0.0, -2.2, 4.0), (), "neck"),  # the head is above the image
        ((0.0, -0.1, 4.0), tuple(JOINTS[:4]) + ("jaw", "nose"), "left_thumb1"),  # what no list names comes last
    ],
)
def test_people_without_a_visible_head_are_found_by_the_first_keypoint_that_is_seen(
    center: tuple[float, float, float], hidden: tuple[str, ...], finder: str
) -> None:
    batch = one(center, hidden)
    if center[1] < -2:  # the made-up person bends: say which keypoints are seen
        px = batch.keypoints_px[0, 0]
        assert px[HEAD, 1] < 0
        seen = torch.zeros_like(batch.keypoint_visible)
        seen[..., [INFO.keypoint_names.index("neck"), 0]] = 1
        px[INFO.keypoint_names.index("neck")] = torch.tensor([50.0, 3.0])
        batch = dataclasses.replace(batch, keypoint_visible=seen)
    got = targets(batch)
    place = batch.keypoints_px[0, 0, INFO.keypoint_names.index(finder)]
    assert got.score_map.nonzero().tolist() == [[0, *cell_of(place)]]


def test_of_two_people_in_one_token_the_nearer_is_kept() -> None:
    batch = moved(small_batch(1, 3), torch.tensor([[[0.0, 0.0, 4.0], [0.0, 0.0, 3.0], [0.5, 0.0, 3.0]]]))
    got = targets(batch)
    assert got.slots.mask.sum() == 1 and got.person[0, 0] == 1 and got.score_map.sum() == 1


@pytest.mark.parametrize(
    ("center", "visibility"),
    [
        ((0.0, 0.0, 4.0), 0.05),  # hardly seen
        ((0.0, 0.0, 40.0), 1.0),  # tiny
    ],
)
def test_hardly_visible_people_are_neither_right_nor_wrong(
    center: tuple[float, float, float], visibility: float
) -> None:
    batch = one(center, visibility=visibility)
    got = targets(batch)
    row, column = cell_of(batch.keypoints_px[0, 0, HEAD])
    ignored = torch.zeros(GRID, GRID, dtype=torch.bool)
    ignored[row - 1 : row + 2, column - 1 : column + 2] = True
    assert not got.slots.mask.any() and not got.score_map.any()
    assert torch.equal(~got.counts[0], ignored)
    assert (~targets(batch, ignore_radius=0).counts).sum() == 1


@pytest.mark.parametrize(
    "batch",
    [
        one((0.0, 0.0, 4.0), visibility=0.0),  # behind a wall: finding someone there is wrong
        one((0.0, 0.0, -4.0)),
        small_batch(1, 2, people=torch.zeros(1, 2, dtype=torch.bool)),
    ],
    ids=["unseen", "behind the camera", "nobody"],
)
def test_who_is_not_in_the_image_leaves_no_trace(batch: Batch) -> None:
    got = targets(batch)
    assert not got.slots.mask.any() and not got.score_map.any() and got.counts.all()


def test_a_head_too_far_off_is_not_learned() -> None:
    batch = one((3.0, 0.0, 2.0))
    px = batch.keypoints_px.clone()
    px[0, 0, 0] = torch.tensor([60.0, 60.0])
    batch = dataclasses.replace(batch, keypoints_px=px, keypoint_visible=batch.keypoint_visible * 0)
    batch.keypoint_visible[0, 0, 0] = 1
    assert px[0, 0, HEAD, 0] > 2 * SIZE - 20
    assert not targets(batch).slots.mask.any()
    assert targets(batch, max_offset=3.0).slots.mask.any()


def test_someone_clear_inside_an_ignored_region_still_counts() -> None:
    batch = moved(small_batch(1, 3), torch.tensor([[[0.0, 0.0, 4.0], [0.5, 0.0, 4.0], [0.0, 0.0, 4.0]]]))
    batch = dataclasses.replace(batch, visibility=torch.tensor([[1.0, 0.05, 1.0]]))
    got = targets(batch)
    assert got.score_map.sum() == 1 and got.counts[got.score_map > 0].all() and not got.counts.all()


def written_out(batch: Batch) -> tuple[list[list[tuple[int, int]]], Tensor]:
    """The rules but for size and distance, one by one: each image's tokens with their people, and what counts."""
    order, found = anchor_order(INFO), []
    counts = torch.ones(len(batch), GRID, GRID, dtype=torch.bool)
    for b in range(len(batch)):
        owners: dict[int, int] = {}
        vague = []
        for p in batch.people[b].nonzero()[:, 0].tolist():
            seen = [j for j in order if batch.keypoint_visible[b, p, j] > 0]
            px = batch.keypoints_px[b, p, seen[0] if seen else HEAD]
            row, column = cell_of(px)
            token, z = row * GRID + column, batch.center[b, p, 2]
            if seen and batch.visibility[b, p] >= 0.1:
                if token not in owners or z < batch.center[b, owners[token], 2]:
                    owners[token] = p
            elif batch.visibility[b, p] > 0 and ((px >= 0) & (px < SIZE)).all():
                vague.append((row, column))
        for row, column in vague:
            counts[b, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
        for token in owners:
            counts[b].view(-1)[token] = True
        found.append(sorted(owners.items()))
    return found, counts


def random_crowd(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    batch = small_batch(3, 9, seed)
    hidden = torch.rand(batch.keypoint_visible.shape, generator=generator) < 0.5
    visibility = torch.tensor([0.0, 0.05, 0.3, 1.0])[torch.randint(4, batch.visibility.shape, generator=generator)]
    seen = torch.where(visibility > 0, 1.0, 0.0)[..., None]
    return dataclasses.replace(batch, keypoint_visible=batch.keypoint_visible * ~hidden * seen, visibility=visibility)


@pytest.mark.parametrize("seed", range(5))
def test_crowds_follow_the_rules_as_written_out(seed: int) -> None:
    batch = random_crowd(seed)
    got = targets(batch, min_size_px=0.0)
    found, counts = written_out(batch)
    for b, people in enumerate(found):
        mask = got.slots.mask[b]
        filled = zip(got.slots.tokens[b][mask].tolist(), got.person[b][mask].tolist())
        assert list(filled) == people and mask[: len(people)].all()
        assert len(set(got.slots.tokens[b].tolist())) == len(mask)  # empty slots share no token with a person
        assert got.score_map[b].flatten().nonzero()[:, 0].tolist() == [token for token, _ in people]
    assert torch.equal(got.counts, counts)


def test_the_order_of_people_and_images_does_not_matter() -> None:
    batch = random_crowd(7)
    order = [5, 2, 8, 0, 7, 1, 3, 6, 4]
    whole, shuffled = targets(batch), targets(chosen(batch, slice(None), order))
    assert torch.equal(whole.score_map, shuffled.score_map) and torch.equal(whole.counts, shuffled.counts)
    mask = whole.slots.mask
    assert torch.equal(whole.person[mask], torch.tensor(order)[shuffled.person[mask]])
    for b in range(len(batch)):
        single = targets(chosen(batch, slice(b, b + 1)))
        assert torch.equal(single.score_map[0], whole.score_map[b])
        assert torch.equal(single.person[0][mask[b]], whole.person[b][mask[b]])


def test_a_mirrored_image_has_mirrored_targets() -> None:
    batch = small_batch(2, 5)
    px = batch.keypoints_px * torch.tensor([-1.0, 1.0]) + torch.tensor([SIZE, 0.0])
    mirrored = targets(dataclasses.replace(batch, keypoints_px=px))
    assert torch.equal(mirrored.score_map, targets(batch).score_map.flip(-1))


def test_anny_is_looked_for_from_the_head_down() -> None:
    info = create_body("anny").info
    names = [info.keypoint_names[index] for index in anchor_order(info)]
    assert names[:5] == ["head", "nose", "left_eye", "right_eye", "jaw"]
    assert sorted(names) == sorted(info.keypoint_names)
