"""Tokens of the padding can be left out: what is left is what a square network says whose padding nobody sees."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_network import SMALL, small_network
from torch import Tensor

from ros2_multihmr import cli
from ros2_multihmr.backends.torch_backend import TorchBackend
from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.model import anny_multihmr, multihmr
from ros2_multihmr.model.anny_multihmr import AnnyMultiHMR
from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.model.convert import convert_weights
from ros2_multihmr.model.initialisation import draw, draw_weights
from ros2_multihmr.model.network import Network
from ros2_multihmr.model.raw_outputs import RawOutputs
from ros2_multihmr.model.stand_in import stand_in_model
from ros2_multihmr.model.token_window import TokenWindow
from ros2_multihmr.preprocess import network_view, preprocess

SIZE, GRID = SMALL.image_size, SMALL.grid
# Width, height, and the columns and rows of 8 x 8 tokens that the image covers.
SHAPES = {
    "16:9": (1280, 720, 8, 6),
    "4:3": (640, 480, 8, 6),
    "2:1": (200, 100, 8, 4),
    "portrait": (720, 1280, 6, 8),
    "a strip": (3000, 20, 8, 2),
    "a pole": (1, 70, 2, 8),
    "nearly square": (112, 111, 8, 8),
    "square": (50, 50, 8, 8),
    "one pixel": (1, 1, 8, 8),
}
NETWORKS = {
    "patch": {},
    "conv": {"stem": "conv"},
    "official": {"kind": "official_smplx"},
    "wide suppression": {"nms_kernel": 4},
}


def network(name: str) -> Network:
    if name != "official_anny":
        return small_network(**NETWORKS[name]).double()
    config = dataclasses.replace(SMALL, kind="official_anny", num_expression=0)
    model = AnnyMultiHMR(config).eval().requires_grad_(False)
    draw_weights(model, 0)
    model.init_pose.copy_(torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(config.num_rotations))
    model.token_position.copy_(draw("token_position", tuple(model.token_position.shape), 0))
    return model.double()


def picture(width: int, height: int) -> tuple[np.ndarray, Camera]:
    image = np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)
    return image, Camera(np.array([[0.8 * width, 0, 0.4 * width], [0, width, 0.6 * height], [0, 0, 1]]), width, height)


def window_of(width: int, height: int, least: int = 1) -> TokenWindow:
    return network_view(Camera.from_fov(width, height, 60), SIZE).window(least)


@contextmanager
def unseen(window: TokenWindow) -> Iterator[None]:
    """Lets nobody look at the square's tokens outside of a window: not each other, not the people, not detection."""
    inside = torch.zeros(window.grid, window.grid, dtype=torch.bool)
    inside[window.top : window.top + window.rows, window.left : window.left + window.columns] = True
    attention, suppression = F.scaled_dot_product_attention, multihmr.suppress

    def attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        if attn_mask is None:  # people among themselves come with a mask
            cls = torch.ones(key.shape[2] - inside.numel(), dtype=torch.bool)
            attn_mask = torch.cat([cls, inside.flatten()])[None, None, None]
        return attention(query, key, value, attn_mask=attn_mask)

    def blind(scores: Tensor, kernel: int) -> Tensor:
        return suppression(scores * inside, kernel)

    with (
        patch.object(F, "scaled_dot_product_attention", attend),
        patch.object(multihmr, "suppress", blind),
        patch.object(anny_multihmr, "suppress", blind),
    ):
        yield


def assert_same(cut: RawOutputs, square: RawOutputs, window: TokenWindow) -> None:
    whole = torch.zeros_like(square.scores_map)
    whole[:, window.top : window.top + window.rows, window.left : window.left + window.columns] = cut.scores_map
    for name, ours, theirs in zip(cut._fields, cut._replace(scores_map=whole), square, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9, msg=name)


@pytest.mark.parametrize("shape", ["16:9", "portrait", "2:1", "square"])
@pytest.mark.parametrize("name", [*NETWORKS, "official_anny"])
def test_cut_is_the_square_whose_padding_nobody_sees(name: str, shape: str) -> None:
    model, (image, camera) = network(name), picture(*SHAPES[shape][:2])
    window = window_of(camera.width, camera.height, SMALL.max_humans)
    square, k, _ = preprocess([image], [camera], SIZE)
    pixels, same_k, _ = preprocess([image], [camera], SIZE, window)
    assert torch.equal(k, same_k)
    with torch.inference_mode():
        cut: RawOutputs = model(pixels.double(), k.double(), torch.tensor(0.4, dtype=torch.float64))
        with unseen(window):
            expected: RawOutputs = model(square.double(), k.double(), torch.tensor(0.4, dtype=torch.float64))
        seen: RawOutputs = model(square.double(), k.double(), torch.tensor(0.4, dtype=torch.float64))
    assert cut.mask.any()
    assert_same(cut, expected, window)
    assert shape == "square" or not torch.allclose(expected.scores_map, seen.scores_map, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_window_holds_the_image_and_no_row_more(shape: str) -> None:
    width, height, columns, rows = SHAPES[shape]
    view, window = network_view(Camera.from_fov(width, height, 60), SIZE), window_of(width, height)
    assert (window.columns, window.rows) == (columns, rows)
    first, last = np.array(view.margin), np.array(view.margin) + view.content
    low = 14 * np.array([window.left, window.top])
    high = low + 14 * np.array([window.columns, window.rows])
    assert (low <= first).all() and (last <= high).all()
    # A row less on either side would cut the image on one of them.
    assert ((first < low + 14) | (last > high - 14)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_windows_pixels_are_those_of_the_square(shape: str) -> None:
    image, camera = picture(*SHAPES[shape][:2])
    square, window = preprocess([image], [camera], SIZE), window_of(camera.width, camera.height)
    cut = preprocess([image], [camera], SIZE, window)
    rows = slice(14 * window.top, 14 * (window.top + window.rows))
    columns = slice(14 * window.left, 14 * (window.left + window.columns))
    assert torch.equal(cut.pixels, square.pixels[:, :, rows, columns]) and torch.equal(cut.k, square.k)
    left = square.pixels.clone()
    left[:, :, rows, columns] = left[:, :, :1, :1]
    assert len(torch.unique(left.flatten(2), dim=2)[0, 0]) == 1 or window == TokenWindow.whole(GRID)


def test_a_whole_window_changes_nothing() -> None:
    model, (image, camera) = small_network(stem="conv"), picture(300, 300)
    pixels, k, _ = preprocess([image], [camera], SIZE, TokenWindow.whole(GRID))
    with torch.inference_mode():
        for one, other in zip(model(pixels, k, torch.tensor(0.4)), model(*_square(image, camera), torch.tensor(0.4))):
            assert torch.equal(one, other)


def _square(image: np.ndarray, camera: Camera) -> tuple[Tensor, Tensor]:
    inputs = preprocess([image], [camera], SIZE)
    return inputs.pixels, inputs.k


def test_cells_are_places_in_the_square() -> None:
    window = TokenWindow(8, 4, 6)
    numbers = torch.arange(64).unflatten(0, (8, 8))
    cells = window.cells(torch.arange(window.num_tokens))
    assert torch.equal(numbers[cells[:, 0], cells[:, 1]], window.of_tokens(numbers.reshape(64, 1))[:, 0])
    assert torch.equal(window.of_columns(window.of_rows(numbers).T).T, numbers[2:6, 1:7])


def test_a_window_has_room_for_the_slots() -> None:
    assert window_of(3000, 20).num_tokens == 16
    assert window_of(3000, 20, 17).num_tokens == 32
    assert window_of(3000, 20, 1000) == TokenWindow.whole(GRID)


@pytest.mark.parametrize(("rows", "columns"), [(7, 8), (8, 10), (0, 8), (8, -2)])
def test_impossible_windows(rows: int, columns: int) -> None:
    with pytest.raises(ValueError, match="token window: (rows|columns): expected 1 to 8"):
        TokenWindow(8, rows, columns)


def test_pixels_that_are_no_window() -> None:
    model = small_network()
    backend = TorchBackend(model)
    for shape in ((1, 3, 98, 112), (1, 3, 110, 112), (1, 3, 140, 112), (1, 1, 84, 112), (0, 3, 84, 112)):
        with pytest.raises(ValueError, match=r"or the pixels of a TokenWindow"):
            backend.infer(torch.zeros(shape), torch.eye(3)[None], 0.5)
    backend.infer(torch.zeros(1, 3, 84, 112), torch.eye(3)[None], 0.5)


def test_images_that_are_not_all_in_the_window_are_refused() -> None:
    image, camera = picture(480, 640)
    expected = "expected one that is at least 4/3 times as wide as high.*got 480 x 640 pixels.*--cut-for 480x640` for "
    with pytest.raises(ValueError, match=expected):
        preprocess([image], [camera], SIZE, window_of(640, 480))


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (TokenWindow(8, 6, 8), "at least 4/3 times as wide as high"),
        (TokenWindow(8, 8, 4), "at least 2 times as high as wide"),
        (TokenWindow.whole(8), "of any shape"),
    ],
)
def test_which_images_fit_is_told_in_words_that_are_true(window: TokenWindow, said: str) -> None:
    assert window.images == said
    for width, height in [(900, 600), (800, 600), (780, 600), (600, 780), (600, 1100), (600, 1200), (600, 1300)]:
        across, up = "wide as high" in said, "high as wide" in said
        fits = width / height * 6 >= 8 if across else height / width >= 2 if up else True
        assert window.covers(window_of(width, height)) == fits, (width, height)


def stand_in(padding: str) -> Estimator:
    return Estimator(TorchBackend(stand_in_model()), create_body("anny"), EstimatorConfig(padding=padding))


def test_a_batch_of_several_shapes_equals_its_images() -> None:
    estimator = stand_in("cut")
    images, cameras = zip(*(picture(*size) for size in ((320, 180), (180, 320), (64, 36), (200, 200))), strict=True)
    batch = estimator.estimate_batch(images, cameras)
    assert sum(map(len, batch)) > 3
    for humans, image, camera in zip(batch, images, cameras, strict=True):
        alone = estimator.estimate(image, camera)
        np.testing.assert_allclose(humans.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(humans.joints, alone.joints, atol=1e-4)


def test_the_setting_says_what_is_computed_and_auto_asks_the_weights() -> None:
    image, camera = picture(320, 180)
    shapes = {}
    for padding in ("auto", "square", "cut"):
        estimator = stand_in(padding)
        with patch.object(estimator.backend, "infer", wraps=estimator.backend.infer) as infer:
            estimator.estimate(image, camera)
        shapes[padding] = tuple(infer.call_args.args[0].shape[2:])
    assert shapes == {"auto": (224, 224), "square": (224, 224), "cut": (140, 224)}
    model = stand_in_model()
    model.config = dataclasses.replace(model.config, padding="cut")
    estimator = Estimator(TorchBackend(model), create_body("anny"), EstimatorConfig())
    with patch.object(estimator.backend, "infer", wraps=estimator.backend.infer) as infer:
        estimator.estimate(image, camera)
    assert tuple(infer.call_args.args[0].shape[2:]) == (140, 224)


def test_weights_keep_how_they_are_meant(tmp_path: Path) -> None:
    save_weights(small_network(padding="cut"), tmp_path / "a.safetensors")
    assert load_weights(tmp_path / "a.safetensors").config.padding == "cut"
    convert_weights(tmp_path / "a.safetensors", tmp_path / "b.safetensors", padding="square")
    assert load_weights(tmp_path / "b.safetensors").config == SMALL
    with pytest.raises(ValueError, match="padding: expected one of square, cut, got 'round'"):
        dataclasses.replace(SMALL, padding="round")


def test_exports_for_one_shape_of_images(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export is an optional extra")
    from ros2_multihmr.backends.export import export_onnx
    from ros2_multihmr.backends.onnxruntime_backend import OnnxRuntimeBackend

    save_weights(small_network(stem="conv"), tmp_path / "a.safetensors")
    export_onnx(tmp_path / "a.safetensors", tmp_path / "a.onnx", max_humans=10, cut_for=(1280, 720))
    backend, (image, camera) = OnnxRuntimeBackend(tmp_path / "a.onnx"), picture(320, 180)
    assert backend.window == TokenWindow(GRID, 6, 8)
    pixels, k, _ = preprocess([image], [camera], SIZE, backend.window)
    ours, theirs = (one.infer(pixels, k, 0.4) for one in (TorchBackend(small_network(stem="conv")), backend))
    assert ours.mask.any()
    for name, one, other in zip(ours._fields, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, msg=name)
    with pytest.raises(ValueError, match=r"pixels: expected \(B, 3, 84, 112\) for small, got \(1, 3, 112, 112\)$"):
        backend.infer(*_square(image, camera), 0.4)


def test_sizes_of_exports_are_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_weights(small_network(), tmp_path / "a.safetensors")
    assert cli.main(["export", str(tmp_path / "a.safetensors"), "--cut-for", "1280:720"]) == 2
    assert "--cut-for: expected width x height in pixels, as 1280x720; got '1280:720'" in capsys.readouterr().err


def test_the_benchmark_puts_both_side_by_side(tmp_path: Path) -> None:
    arguments = ["--repeats", "2", "--width", "320", "--height", "180", "--device", "cpu", "--out", str(tmp_path)]
    assert cli.main(["benchmark", "padding", *arguments]) == 0
    result = json.loads((tmp_path / "padding.json").read_text())
    assert result["tokens"] == [256, 160] and 0.55 < result["arithmetic"] < 160 / 256
    for stages in result["times"].values():
        assert [stage["stage"] for stage in stages] == ["preprocess", "network", "total"]
    assert result["agreement"]["people"] > 0
    page = (tmp_path / "padding.md").read_text()
    assert "| network |" in page and "160 of 256 tokens" in page and "people compared" in page
