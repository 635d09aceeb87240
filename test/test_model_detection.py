"""From scores to slots."""

from __future__ import annotations

import torch
from torch import Tensor

from ros2_multihmr.model.detection import clamp_scores, fill_slots, suppress

GRID = 6


def grid_of(cells: dict[tuple[int, int], float]) -> Tensor:
    scores = torch.zeros(1, GRID, GRID)
    for (row, column), score in cells.items():
        scores[0, row, column] = score
    return scores


def test_a_window_keeps_its_best() -> None:
    scores = grid_of({(1, 1): 0.5, (1, 2): 0.7, (3, 3): 0.6, (5, 5): 0.4})
    kept = suppress(scores, 3)
    assert torch.equal(kept, grid_of({(1, 2): 0.7, (3, 3): 0.6, (5, 5): 0.4}))
    assert torch.equal(suppress(scores, 5), grid_of({(1, 2): 0.7}))
    assert torch.equal(suppress(scores, 1), scores)


def test_equal_neighbours_all_survive() -> None:
    scores = grid_of({(2, 2): 0.7, (2, 3): 0.7})
    assert torch.equal(suppress(scores, 3), scores)


def test_even_windows_reach_up_and_left() -> None:
    scores = grid_of({(2, 2): 0.7, (2, 3): 0.5, (2, 1): 0.6})
    assert torch.equal(suppress(scores, 2), grid_of({(2, 2): 0.7, (2, 1): 0.6}))


def test_saturated_scores_are_clamped() -> None:
    assert clamp_scores(torch.tensor([0.0, 0.5, 1.0])).tolist() == [
        torch.tensor(1e-4).item(),
        0.5,
        torch.tensor(1 - 1e-4).item(),
    ]


def test_slots_fill_in_raster_order() -> None:
    scores = grid_of({(4, 1): 0.9, (0, 3): 0.5, (0, 1): 0.6, (2, 2): 0.29})
    slots = fill_slots(scores, torch.tensor(0.3), 5)
    assert slots.mask.tolist() == [[True, True, True, False, False]]
    assert slots.tokens[0, :3].tolist() == [1, 3, 25]
    assert torch.equal(slots.scores[0, :3], torch.tensor([0.6, 0.5, 0.9]))
    assert slots.found.tolist() == [3]
    assert bool(((slots.tokens >= 0) & (slots.tokens < GRID**2)).all())


def test_the_best_scores_stay_when_slots_run_out() -> None:
    scores = grid_of({(4, 1): 0.9, (0, 3): 0.5, (0, 1): 0.6, (2, 2): 0.7})
    slots = fill_slots(scores, torch.tensor(0.3), 2)
    assert slots.tokens.tolist() == [[14, 25]] and slots.found.tolist() == [4]


def test_a_score_at_the_threshold_is_a_person() -> None:
    scores = grid_of({(0, 0): 0.5})
    assert fill_slots(scores, torch.tensor(0.5), 3).found.tolist() == [1]
    assert fill_slots(scores, torch.tensor(0.51), 3).mask.any().item() is False
    assert fill_slots(scores, torch.tensor(0.0), 3).found.tolist() == [GRID**2]
