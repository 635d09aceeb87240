"""Transfer: what goes together arrives as it was."""

from __future__ import annotations

import pytest
import torch

from ros2_multihmr.transfer import move_together, pack, unpack

TENSORS = [
    torch.tensor([True, False, True]),
    torch.tensor([[1.5, float("nan")], [-0.0, float("inf")]]),
    torch.tensor(2**62 + 1),
    torch.zeros(0, 3),
    torch.arange(6, dtype=torch.float16).view(2, 3).T,  # not contiguous
    torch.arange(5, dtype=torch.float64)[1:],
    torch.tensor([7], dtype=torch.uint8),
]


def assert_equal(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        torch.testing.assert_close(a, b, atol=0, rtol=0, equal_nan=True)


def test_packed_numbers_come_out_as_they_went_in():
    assert_equal(unpack(pack(TENSORS), TENSORS), TENSORS)
    assert pack(TENSORS).dtype == torch.uint8


def test_what_is_there_already_is_not_copied():
    assert all(a is b for a, b in zip(move_together(TENSORS, "cpu"), TENSORS, strict=True))
    assert move_together([], "cpu") == []


def test_shapes_and_types_reach_another_device():
    moved = move_together(TENSORS, "meta")  # a device that every machine has; it keeps no numbers
    assert [(a.dtype, a.shape, a.device.type) for a in moved] == [(b.dtype, b.shape, "meta") for b in TENSORS]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_there_and_back():
    assert_equal(move_together(move_together(TENSORS, "cuda"), "cpu"), TENSORS)
