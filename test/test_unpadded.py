"""Learning without padding: every image is learned from by its own tokens, whatever is beside it in the batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_network import small_network
from small_truth import chosen, doubled, small_batch, small_body
from synthetic_samples import made_up_sample
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.training.batches import Batch, collate
from ros2_multihmr.training.losses import LossWeights
from ros2_multihmr.training.objective import Losses, Objective

EVERYTHING = LossWeights(full_vertices=1.0)
WHOLE, WIDE, TALL = TokenWindow.whole(8), TokenWindow(8, 4, 8), TokenWindow(8, 8, 6)


def objective(padding: str = "cut") -> Objective:
    torch.manual_seed(0)
    model = small_network(padding=padding).requires_grad_(True)
    model.head.init_camera.fill_(-1.4)
    return Objective(model, small_body(), EVERYTHING).double()


def batch_of(*windows: TokenWindow) -> Batch:
    return doubled(small_batch(len(windows), windows=windows))


def close(one: Losses, other: Losses) -> None:
    torch.testing.assert_close(one.total, other.total)
    for name, term in one.terms.items():
        torch.testing.assert_close(term, other.terms[name], msg=lambda text, name=name: f"{name}: {text}")


def test_squares_are_learned_from_as_ever() -> None:
    batch = batch_of(WHOLE, WHOLE)
    close(objective("cut")(batch), objective("square")(batch))


def test_windows_change_nothing_for_who_learns_from_squares() -> None:
    batch = batch_of(WIDE, TALL)
    close(objective("square")(batch), objective("square")(dataclasses.replace(batch, windows=())))
    assert objective("cut")(batch).total != objective("square")(batch).total


def test_a_batch_of_several_shapes_is_the_sum_of_its_images() -> None:
    module, batch = objective(), batch_of(WIDE, WHOLE, WIDE, TALL)
    counts = module.counts(batch)
    together = module(batch, counts)
    alone = [
        module(dataclasses.replace(chosen(batch, slice(i, i + 1)), windows=(window,)), counts)
        for i, window in enumerate(batch.windows)
    ]
    assert together.metrics["people"] > 4
    for name, term in together.terms.items():
        parts: Tensor = sum(one.terms[name] for one in alone)  # type: ignore[assignment]
        torch.testing.assert_close(term, parts, msg=lambda text, name=name: f"{name}: {text}")


def test_the_order_of_images_does_not_matter() -> None:
    module, batch = objective(), batch_of(WIDE, TALL, WIDE)
    turned = chosen(dataclasses.replace(batch, keys=np.array(batch.keys)), [2, 1, 0])  # type: ignore[arg-type]
    close(module(batch), module(dataclasses.replace(turned, windows=batch.windows[::-1])))


def test_nothing_is_learned_from_pixels_of_the_padding() -> None:
    module, batch = objective(), batch_of(WIDE, TALL)
    pixels = batch.pixels.clone().requires_grad_(True)
    module(dataclasses.replace(batch, pixels=pixels)).total.backward()
    assert pixels.grad is not None
    for gradient, window in zip(pixels.grad, batch.windows, strict=True):
        inside = torch.zeros(112, 112, dtype=torch.bool)
        inside[14 * window.top : 14 * (window.top + window.rows), 14 * window.left : 14 * (8 - window.left)] = True
        assert gradient[:, ~inside].abs().max() == 0 < gradient[:, inside].abs().min()


def test_everything_gets_a_gradient() -> None:
    module = objective()
    losses = module(batch_of(WIDE, TALL))
    losses.total.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in module.parameters())
    assert set(losses.terms) and all(term.isfinite() for term in losses.terms.values())


def test_people_are_found_by_tokens_that_are_computed() -> None:
    module, batch = objective(), batch_of(WIDE, TALL)
    for score_map, window in zip(module.targets(batch).score_map, batch.windows, strict=True):
        assert score_map.sum() == window.of_grid(score_map[None]).sum() > 0


def test_batches_say_where_their_images_are() -> None:
    samples = [made_up_sample(create_body("anny"), seed) for seed in range(2)]
    batch = collate(samples, 112, 4)
    assert len(batch.windows) == 2
    for sample, window, pixels in zip(samples, batch.windows, batch.pixels, strict=True):
        assert window == TokenWindow.of_image(sample.camera.width, sample.camera.height, 8, 4)
        above = pixels[:, : 14 * window.top]
        assert window.top == 1 and torch.equal(above, above[:, :1, :1].expand_as(above))


def test_batches_that_do_not_say_it_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a window for each of 2 images, got 0"):
        objective()(doubled(small_batch(2)))
