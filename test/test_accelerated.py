"""What makes the network faster changes nothing of what it says: recorded steps, compiled backbones, one transfer."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_network import small_inputs, small_network
from torch import Tensor

from ros2_multihmr.assets import asset
from ros2_multihmr.backends.backend import open_backend
from ros2_multihmr.backends.cuda_graphs import RecordedSteps
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.camera import Camera
from ros2_multihmr.device_preprocess import DevicePreprocess
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.sources import read_image

SOME = 0.5
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def by_calling(run: Callable[[], None]) -> Callable[[], None]:
    """What a CUDA graph does, without one: the same work on the same memory."""
    return run


def recorded_backend() -> TorchBackend:
    """A backend whose steps are recorded on the CPU."""
    backend = TorchBackend(small_network())
    backend._recorded = RecordedSteps(backend._step, by_calling)
    return backend


def assert_same(ours: RawOutputs, theirs: RawOutputs, tolerance: float = 0.0) -> None:
    for name, a, b in zip(RawOutputs._fields, ours, theirs, strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), atol=tolerance, rtol=tolerance, msg=name)


def inputs_of_shapes() -> list[tuple[Tensor, Tensor]]:
    """Batches and windows of several shapes, each twice with other numbers."""
    pixels, k = small_inputs(4)
    shapes = [(pixels[:1], k[:1]), (pixels[:2], k[:2]), (pixels[:1, :, 14:-14], k[:1]), (pixels[:3], k[:3])]
    return [(scale * images, cameras) for scale in (1.0, 0.7) for images, cameras in shapes]


def test_recorded_steps_say_what_the_network_says():
    plain, recorded = TorchBackend(small_network()), recorded_backend()
    kept = [(recorded.infer(*inputs, SOME), plain.infer(*inputs, SOME)) for inputs in inputs_of_shapes()]
    for ours, theirs in kept:  # only now: none was written over by a later one
        assert_same(ours, theirs)


def test_thresholds_are_numbers_not_shapes():
    plain, recorded = TorchBackend(small_network()), recorded_backend()
    for threshold in (0.3, 0.9, 0.5):
        assert_same(recorded.infer(*small_inputs(1), threshold), plain.infer(*small_inputs(1), threshold))
    assert len(recorded._recorded) == 1


def test_few_recordings_are_kept_and_those_used_last():
    made = list[int]()

    def step(x: Tensor) -> tuple[Tensor]:
        return (2 * x,)

    def record(run: Callable[[], None]) -> Callable[[], None]:
        made.append(1)
        return run

    steps = RecordedSteps(step, record, most_shapes=2)
    for size, recordings in ((1, 1), (2, 2), (1, 2), (3, 3), (1, 3), (2, 4)):
        assert torch.equal(steps(torch.ones(size))[0], torch.full((size,), 2.0))
        assert len(made) == recordings and len(steps) <= 2
    steps.clear()
    assert len(steps) == 0


def test_features_are_shown_of_every_image_recorded_or_not():
    shown: dict[str, list[Tensor]] = {"plain": [], "recorded": []}
    for name, backend in (("plain", TorchBackend(small_network())), ("recorded", recorded_backend())):
        backend.infer(*small_inputs(1), SOME)  # recorded before anybody watches
        backend.watch_features(lambda pixels, tokens, to=shown[name]: to.extend((pixels, tokens)))
        for scale in (1.0, 0.5):
            pixels, k = small_inputs(1)
            backend.infer(scale * pixels, k, SOME)
    assert len(shown["plain"]) == len(shown["recorded"]) == 4
    for a, b in zip(*shown.values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the compiler trace as ever, and leave out the kernels, which would take it a minute."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


@pytest.mark.usefixtures("traced")
def test_a_compiled_backbone_says_the_same_and_is_watched():
    plain, compiled = TorchBackend(small_network(depth=1)), TorchBackend(small_network(depth=1), compile=True)
    for inputs in (inputs_of_shapes()[0], inputs_of_shapes()[2]):
        assert_same(compiled.infer(*inputs, SOME), plain.infer(*inputs, SOME), 1e-6)
    seen = list[Tensor]()
    compiled.watch_features(lambda pixels, tokens: seen.append(tokens))
    for _ in range(2):
        compiled.infer(*small_inputs(1), SOME)
    assert len(seen) == 2


def test_a_machine_without_compiler_is_told(monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=fail))
    with pytest.raises(ValueError, match=r"compile: .*no C\+\+ compiler.*set compile to false"):
        TorchBackend(small_network(), compile=True).infer(*small_inputs(1), SOME)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"cuda_graphs": True, "device": "cpu"}, "cuda_graphs: needs a CUDA GPU, but the device is cpu"),
        ({"cuda_graphs": True, "weights": "a.onnx"}, "for weights, not exports"),
        ({"compile": True, "weights": "a.onnx"}, "for weights, not exports"),
    ],
)
def test_settings_that_cannot_be(settings, text):
    with pytest.raises(ValueError, match=text):
        open_backend(**settings)


def test_people_do_not_depend_on_where_the_image_was_scaled(photograph):
    estimator = create_estimator(EstimatorConfig(device="cpu"))
    camera = Camera.from_fov(photograph.shape[1], photograph.shape[0], 60)
    expected = estimator.estimate(photograph, camera)
    estimator._preprocess = DevicePreprocess("cpu")
    found = estimator.estimate(photograph, camera)
    assert len(found) > 0
    for name in ("scores", "origin", "rotvecs", "keypoints_2d", "vertices_lod"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


def test_cameras_of_several_sizes_are_one_batch_where_they_need_the_same_tokens(photograph, monkeypatch):
    estimator = create_estimator(EstimatorConfig(device="cpu"))
    small, tall = photograph[::2, ::2], photograph.transpose(1, 0, 2)
    images = [photograph, tall, small]
    cameras = [Camera.from_fov(image.shape[1], image.shape[0], 60) for image in images]
    singles = [estimator.estimate(image, camera) for image, camera in zip(images, cameras, strict=True)]
    batches, infer = list[int](), estimator.backend.infer

    def count(pixels: Tensor, *others: object) -> RawOutputs:
        batches.append(len(pixels))
        return infer(pixels, *others)

    monkeypatch.setattr(estimator.backend, "infer", count)
    together = estimator.estimate_batch(images, cameras)
    assert sorted(batches) == [1, 2] and len(singles[0]) > 0
    for ours, theirs in zip(together, singles, strict=True):
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        np.testing.assert_allclose(ours.origin, theirs.origin, atol=5e-3)


@pytest.fixture
def photograph() -> np.ndarray:
    return read_image(asset("samples/row_of_people.jpg"))


@needs_gpu
@pytest.mark.parametrize("settings", [{"cuda_graphs": True}, {"compile": True}, {"cuda_graphs": True, "compile": True}])
def test_a_gpu_says_what_it_says_without(settings):
    plain, faster = TorchBackend(small_network(), "cuda"), TorchBackend(small_network(), "cuda", **settings)
    kept = [(faster.infer(*inputs, SOME), plain.infer(*inputs, SOME)) for inputs in inputs_of_shapes()]
    for ours, theirs in kept:
        assert_same(ours, theirs, 1e-3)
    faster.unload()
    faster.load()
    assert_same(faster.infer(*inputs_of_shapes()[0], SOME), kept[0][1], 1e-3)


@needs_gpu
@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_people_of_a_gpu_are_those_of_the_cpu(photograph, cuda_graphs):
    camera = Camera.from_fov(photograph.shape[1], photograph.shape[0], 60)
    expected = create_estimator(EstimatorConfig(device="cpu")).estimate(photograph, camera, vertices=True)
    estimators = [create_estimator(EstimatorConfig(device="cuda", cuda_graphs=cuda_graphs)) for _ in range(2)]
    for estimator in estimators * 2:  # side by side on one GPU, the second time by what was recorded
        found = estimator.estimate(photograph, camera, vertices=True)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-2)
