"""The objective: from a batch to its loss, and what may not change it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_network import small_network
from small_truth import SIZE, chosen, doubled, moved, small_batch, small_body
from torch import Tensor

from ros2_multihmr.body import create_body
from ros2_multihmr.model.detection import fill_slots
from ros2_multihmr.training.batches import Batch
from ros2_multihmr.training.losses import RELEASED, LossWeights
from ros2_multihmr.training.objective import AUXILIARY, TERMS, Losses, Objective, body_layout

EVERYTHING = LossWeights(full_vertices=1.0)
METRICS = {"people", "precision", "recall", "depth_percent", "mpjpe_mm", "root_deg"}


def objective(weights: LossWeights = EVERYTHING, **changes: object) -> Objective:
    torch.manual_seed(0)
    model = small_network(**changes).requires_grad_(True)
    model.head.init_camera.fill_(-1.4)
    return Objective(model, small_body(), weights)


def gradients(module: Objective) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


def close(one: Losses, other: Losses) -> None:
    torch.testing.assert_close(one.total, other.total)
    for name, term in one.terms.items():
        torch.testing.assert_close(term, other.terms[name], msg=lambda text, name=name: f"{name}: {text}")


def test_every_weight_has_its_term_and_the_total_is_their_weighted_sum() -> None:
    losses = objective()(small_batch())
    assert set(losses.terms) == set(TERMS) and set(losses.metrics) == METRICS
    total = sum(getattr(EVERYTHING, name) * term for name, term in losses.terms.items())
    torch.testing.assert_close(losses.total, total)
    assert losses.total.requires_grad and losses.metrics["people"] > 0
    assert not any(value.requires_grad for value in [*losses.terms.values(), *losses.metrics.values()])


@pytest.mark.parametrize("name", TERMS)
def test_gradients_of_the_whole_network_are_finite_differences(name: str) -> None:
    alone = dataclasses.replace(EVERYTHING, **{other: float(other == name) for other in TERMS})
    module, batch = objective(alone, image_size=SIZE).double(), doubled(small_batch())
    parameters = list(module.parameters())
    generator = torch.Generator().manual_seed(1)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    module(batch).total.backward()
    slope = sum((p.grad * d).sum() for p, d in zip(parameters, direction) if p.grad is not None)

    def at(step: float) -> Tensor:
        with torch.no_grad():
            for parameter, way in zip(parameters, direction):
                parameter.add_(step * way)
            total: Tensor = module(batch).total
            for parameter, way in zip(parameters, direction):
                parameter.sub_(step * way)
        return total

    assert slope != 0
    torch.testing.assert_close((at(1e-7) - at(-1e-7)) / 2e-7, slope, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["focal", "bce"])
def test_nobody_at_all_gives_finite_numbers_and_a_gradient_for_every_parameter(kind: str) -> None:
    module = objective(dataclasses.replace(EVERYTHING, detection_kind=kind))
    batch = small_batch()
    losses = module(dataclasses.replace(batch, people=torch.zeros_like(batch.people)))
    losses.total.backward()
    assert losses.total.isfinite() and losses.metrics["people"] == 0 and losses.terms["vertices"] == 0
    assert losses.terms["detection"] > 0
    assert all(gradient.isfinite().all() for gradient in gradients(module).values())


def test_batches_without_dense_truth_give_every_parameter_a_gradient() -> None:
    module = objective()
    module(dataclasses.replace(small_batch(), dense=None)).total.backward()
    assert len(gradients(module)) == len(list(module.parameters()))


def test_the_order_of_people_and_empty_places_do_not_matter() -> None:
    module, batch = objective(), small_batch(places=5)
    whole = module(batch)
    close(whole, module(chosen(batch, slice(None), [4, 2, 0, 3, 1])))
    close(whole, module(chosen(batch, slice(None), [0, 1, 2, 3])))


def test_people_who_are_hardly_visible_teach_nothing() -> None:
    module, batch = objective(RELEASED), small_batch()
    batch.visibility[:, 0] = 0.02
    whole = module(batch)
    changed = dataclasses.replace(
        batch, rotmats=batch.rotmats.clone(), shape=batch.shape.clone(), expression=batch.expression.clone()
    )
    changed.rotmats[:, 0], changed.shape[:, 0], changed.expression[:, 0] = torch.eye(3), 0.0, 9.0
    close(whole, module(changed))
    assert module.counts(batch)[0] < module.counts(small_batch())[0]


def test_global_counts_make_parts_of_a_batch_add_up_to_the_whole() -> None:
    module, batch = objective(), small_batch(4)
    batch.people[0] = False  # the first half has fewer people than the second
    batch.dense.valid[3] = False
    whole = module(batch)
    whole.total.backward()
    expected = gradients(module)
    module.zero_grad()
    halves = [chosen(batch, slice(0, 2)), chosen(batch, slice(2, 4))]
    counts = torch.stack([module.counts(half) for half in halves]).sum(0)
    assert torch.equal(counts, module.counts(batch)) and counts[2] == 3
    parts = [module(half, counts) for half in halves]
    for part in parts:
        part.total.backward()
    for name, term in whole.terms.items():
        torch.testing.assert_close(parts[0].terms[name] + parts[1].terms[name], term)
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4)


def test_under_autocast_the_backbone_alone_is_rounded() -> None:
    module, batch = objective(), small_batch()
    exact = module(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, tokens = module(batch), module.model.backbone(batch.pixels).float()
    rounded.total.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(module).values())
    assert {value.dtype for value in [rounded.total, *rounded.terms.values()]} == {torch.float32}
    assert rounded.total != exact.total
    torch.testing.assert_close(rounded.total, exact.total, rtol=0.05, atol=0)
    module.model.backbone.forward = lambda pixels: tokens
    torch.testing.assert_close(rounded.total, module(batch).total, rtol=1e-6, atol=0)


def test_images_without_dense_truth_do_not_thin_out_the_others() -> None:
    module, batch = objective(), small_batch(2)
    batch.dense.valid[1] = False
    both, first = module(batch), module(chosen(batch, slice(0, 1)))
    for name in ("person_mask", "person_parts", "person_depth"):
        torch.testing.assert_close(both.terms[name], first.terms[name])


def test_anny_is_laid_out_by_its_names() -> None:
    info = create_body("anny").info
    layout = body_layout(info, SIZE)
    posed = [info.joint_names[joint] for joint in info.posed_joints]
    groups = {name: posed[first:last] for name, (first, last) in layout.rotations.items()}
    assert [name for group in groups.values() for name in group] == posed and groups["root"] == ["root"]
    assert len(groups["hands"]) == 30 and all(name.startswith("finger") for name in groups["hands"])
    assert groups["face"] == ["jaw", "eye.L", "eye.R"]
    names = info.keypoint_names
    pairs = [(names[finger], names[wrist]) for finger, wrist in zip(layout.fingers, layout.wrists)]
    assert len(pairs) == 40 and ("left_thumb1", "left_wrist") in pairs and ("right_pinky_tip", "right_wrist") in pairs
    assert all(finger.split("_")[0] == wrist.split("_")[0] for finger, wrist in pairs)


def test_helper_heads_are_no_part_of_the_network_and_cost_nothing_when_off() -> None:
    with_helpers, without = objective(), objective(RELEASED)
    assert with_helpers.model.state_dict().keys() == without.model.state_dict().keys()
    assert with_helpers.auxiliary is not None and without.auxiliary is None
    assert {name.split(".")[0] for name, _ in without.named_parameters()} == {"model"}
    before = {name: parameter for name, parameter in without.state_dict().items() if not name.startswith("model.")}
    assert not before


def test_the_true_slots_are_what_a_perfect_detector_would_fill() -> None:
    module, batch = objective(), small_batch()
    targets = module.targets(batch)
    slots = fill_slots(targets.score_map, torch.tensor(0.3), batch.people.shape[1])
    assert all(torch.equal(a, b) for a, b in zip(slots, targets.slots))


def test_wrong_bodies_and_empty_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(5, 3, 2\).*got a network with \(4, 3, 2\)"):
        Objective(small_network(num_rotations=4), small_body(), EVERYTHING)
    nothing = dataclasses.replace(EVERYTHING, **dict.fromkeys(TERMS, 0.0))
    with pytest.raises(ValueError, match="at least one weight above 0"):
        Objective(small_network(), small_body(), nothing)
    with pytest.raises(ValueError, match="detection: must be at least 0"):
        LossWeights(detection=-1.0)


def overfit(module: Objective, batch: Batch, steps: int) -> tuple[Losses, Losses]:
    optimiser = torch.optim.Adam(module.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    first: Losses = module(batch)
    for _ in range(steps):
        losses = module(batch)
        optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    last: Losses = module(batch)
    return first, last


def test_a_few_steps_learn_one_batch_by_heart() -> None:
    centers = torch.tensor([[[-0.9, -0.5, 4.0], [0.8, -0.3, 3.5], [0.0, 0.0, 4.0]]]).repeat(2, 1, 1)
    batch = moved(small_batch(2, 3), centers + 0.1 * torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0)))
    first, last = overfit(objective(), batch, 300)
    for name, term in last.terms.items():
        # The helpers' truth is noise here, of which one linear layer holds a part.
        assert term < (0.6 if name in AUXILIARY else 0.05) * first.terms[name], name
    assert last.total < 0.05 * first.total
    assert last.metrics["recall"] == last.metrics["precision"] == 1
    assert last.metrics["depth_percent"] < 5 and last.metrics["root_deg"] < 5
