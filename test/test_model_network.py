"""The network as a whole: slots, cameras, one static graph."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from small_network import SMALL, small_inputs, small_network

from ros2_multihmr.model.config import MultiHMRConfig
from ros2_multihmr.model.initialisation import draw
from ros2_multihmr.model.multihmr import MultiHMR
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.vit import resample_positions

NOBODY = 0.9999999
SOME = 0.5


def run(model: MultiHMR, threshold: float, count: int = 2) -> RawOutputs:
    with torch.inference_mode():
        outputs: RawOutputs = model(*small_inputs(count), torch.tensor(threshold))
    return outputs


def test_shapes_and_types() -> None:
    outputs = run(small_network(), SOME)
    shapes = {name: tuple(value.shape) for name, value in outputs._asdict().items()}
    assert shapes == {
        "mask": (2, 10),
        "scores": (2, 10),
        "cells": (2, 10, 2),
        "loc_px": (2, 10, 2),
        "depth": (2, 10),
        "rotmats": (2, 10, 5, 3, 3),
        "shape": (2, 10, 3),
        "expression": (2, 10, 2),
        "found": (2,),
        "scores_map": (2, 8, 8),
    }
    assert outputs.mask.dtype == torch.bool and outputs.cells.dtype == outputs.found.dtype == torch.int64


def test_found_people_are_where_the_scores_are() -> None:
    outputs = run(small_network(), SOME)
    assert outputs.mask.any(1).all()
    image, slot = outputs.mask.nonzero(as_tuple=True)
    row, column = outputs.cells[image, slot].unbind(-1)
    torch.testing.assert_close(outputs.scores_map[image, row, column], outputs.scores[image, slot])
    inside = (outputs.shape[outputs.mask] > 0) & (outputs.shape[outputs.mask] < 1)
    assert inside.all()


@pytest.mark.parametrize("kind", ["multihmr", "official_smplx"])
def test_empty_slots_hold_zeros_and_identities(kind: str) -> None:
    outputs = run(small_network(kind=kind), NOBODY)
    assert not outputs.mask.any() and outputs.found.tolist() == [0, 0]
    for value in (outputs.scores, outputs.cells, outputs.loc_px, outputs.depth, outputs.shape, outputs.expression):
        assert not value.any()
    assert torch.equal(outputs.rotmats, torch.eye(3).expand_as(outputs.rotmats))


def test_more_slots_change_nobody() -> None:
    few, many = (run(small_network(max_humans=slots), SOME) for slots in (10, 30))
    assert few.found.max() <= 10
    for a, b in zip(few[:-2], many[:-2], strict=True):
        torch.testing.assert_close(a[few.mask], b[many.mask])


def test_people_of_one_image_see_each_other() -> None:
    model = small_network()
    everyone = run(model, SOME)
    fewer = run(model, everyone.scores[everyone.mask].median().item())
    both = fewer.mask[0].nonzero().flatten()[0]
    same = (everyone.cells[0] == fewer.cells[0, both]).all(-1) & everyone.mask[0]
    assert same.sum() == 1 and fewer.found[0] < everyone.found[0]
    assert not torch.allclose(everyone.rotmats[0][same][0], fewer.rotmats[0, both])


def test_the_camera_reaches_the_features() -> None:
    model = small_network()
    pixels, k = small_inputs(1)
    with torch.inference_mode():
        one: RawOutputs = model(pixels, k, torch.tensor(SOME))
        other: RawOutputs = model(pixels, k * torch.tensor([[1.3], [1.3], [1.0]]), torch.tensor(SOME))
    assert torch.equal(one.cells, other.cells)
    assert not torch.allclose(one.rotmats[one.mask], other.rotmats[other.mask])


def test_official_depths_end_at_fifty_metres() -> None:
    model = small_network(kind="official_smplx")
    model.head.init_camera.fill_(100.0)
    outputs = run(model, SOME)
    assert outputs.mask.any() and bool((outputs.depth[outputs.mask] == 50).all())


def test_one_graph_for_everything() -> None:
    model = small_network()
    pixels, k = small_inputs(3)
    batch = torch.export.Dim("batch", min=1, max=16)
    shapes = ({0: batch}, {0: batch}, None)
    exported = torch.export.export(model, (pixels[:2], k[:2], torch.tensor(SOME)), dynamic_shapes=shapes).module()
    for count, threshold in ((3, SOME), (1, NOBODY), (2, 0.0)):
        with torch.inference_mode():
            inputs = (pixels[:count], k[:count], torch.tensor(threshold))
            for ours, theirs in zip(model(*inputs), exported(*inputs), strict=True):
                torch.testing.assert_close(ours, theirs)


def test_training_computes_what_inference_does() -> None:
    model, inputs = small_network(), (*small_inputs(), torch.tensor(0.5))
    seen = model(*inputs)
    learned = model.train()(*inputs)
    for name, ours, theirs in zip(seen._fields, seen, learned, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)


def test_a_pixel_reaches_its_own_token_and_at_most_its_neighbours() -> None:
    stem = small_network(stem="conv").backbone.patch_embed
    before = small_inputs(1)[0].requires_grad_(False)
    after = before.clone()
    after[0, :, 30, 44] += 1.0  # row 2, column 3 of 8 x 8 tokens, two pixels from column 2's edge
    changed = (stem(before) - stem(after)).abs().amax(-1).reshape(8, 8).nonzero().tolist()
    assert [2, 3] in changed
    assert all(abs(row - 2) <= 1 and abs(column - 3) <= 1 for row, column in changed)


def test_position_tables_are_resampled_with_dinov2s_scale() -> None:
    table = draw("table", (1, 1 + 37 * 37, 4), 0)
    assert resample_positions(table, 37) is table
    small = resample_positions(table, 16)
    assert small.shape == (1, 1 + 16 * 16, 4) and torch.equal(small[:, 0], table[:, 0])
    # A ramp shows where the samples lie: source = (i + .5) * 37 / 16.1 - .5, where 37 / 16 would be exact (.12 more).
    ramp = torch.arange(37.0).expand(37, 37).reshape(1, -1, 1)
    sampled = resample_positions(torch.cat([torch.zeros(1, 1, 1), ramp], 1), 16)[0, 1:, 0].reshape(16, 16)
    torch.testing.assert_close(sampled[3, 8].item(), 8.5 * 37 / 16.1 - 0.5, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "hmr"}, "multihmr, official_smplx"),
        ({"image_size": 100}, "multiple of 14"),
        ({"heads": 5}, "divisor of the width 32"),
        ({"nms_kernel": 6}, "odd number, 2 or 4"),
        ({"max_humans": 65}, "at most 64 tokens"),
        ({"max_humans": 0}, "at least 1"),
        ({"depth": 2.5}, "expected int"),
        ({"shape_activation": "tanh"}, "none, sigmoid"),
    ],
)
def test_impossible_configurations(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(SMALL, **change)


def test_configurations_from_files_are_strict() -> None:
    values = dataclasses.asdict(SMALL)
    assert MultiHMRConfig.from_dict(values) == SMALL
    with pytest.raises(ValueError, match=r"unknown \['colour'\], missing \['width'\]"):
        MultiHMRConfig.from_dict({**{k: v for k, v in values.items() if k != "width"}, "colour": 1})
