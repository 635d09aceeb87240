"""Parity with the official network through ONNX Runtime on the CPU, within the tolerances of PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from official_recipe import golden
from parity import ANNY_CASES, SMPLX_CASES, cells, intrinsics, network_of, people
from scipy.special import logit
from torch import Tensor

from ros2_multihmr.backends.export import OPSET, export_onnx
from ros2_multihmr.backends.onnxruntime_backend import CPU, OnnxRuntimeBackend, open_session
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.detection import fill_slots, suppress
from ros2_multihmr.model.raw_outputs import RawOutputs

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason="export is an optional extra")

WINDOWS = (1, 2, 3, 4, 5, 7)
TOLERANCES = {"scores": 1e-5, "loc": 5e-4, "transl": 2e-5, "rotvec": 2e-4, "expression": 5e-5, "shape": 5e-5}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], OnnxRuntimeBackend]:
    """One export per network, made when first asked for. A free batch takes longer: only where cases have batches."""
    folder = tmp_path_factory.mktemp("exports")
    made: dict[str, OnnxRuntimeBackend] = {}

    def backend_of(case: dict[str, Any]) -> OnnxRuntimeBackend:
        key = case["recipe"]["keys"]
        if key not in made:
            save_weights(network_of(case), folder / "official.safetensors")
            out = folder / f"{len(made)}.onnx"
            with patch("ros2_multihmr.backends.export.check_inputs_of", lambda _: []):  # the golden cases are the check
                export_onnx(folder / "official.safetensors", out, dynamic_batch=case["recipe"]["img_size"] == 448)
            made[key] = OnnxRuntimeBackend(out)
        return made[key]

    return backend_of


def run(exports: Any, case: dict[str, Any]) -> RawOutputs:
    outputs: RawOutputs = exports(case).infer(case["pixels"], intrinsics(case), float(case["det_thresh"]))
    return outputs


@pytest.mark.parametrize("name", SMPLX_CASES)
def test_same_people(exports: Any, name: str) -> None:
    case = golden(name)
    outputs = run(exports, case)
    np.testing.assert_array_equal(cells(outputs), case["idx"][:3])
    np.testing.assert_allclose(outputs.scores_map, case["scores_map"], atol=1e-5)
    ours = people(outputs, intrinsics(case)) if outputs.mask.any() else {}
    for key, value in ours.items():
        np.testing.assert_allclose(value, case[key], atol=TOLERANCES[key], rtol=0, err_msg=key)


def test_same_suppression_in_the_whole_network(exports: Any) -> None:
    case, k = golden("S448_f_nms"), intrinsics(golden("S448_a_default"))  # scores know nothing of the camera
    outputs = exports(case).infer(case["pixels"], k, float(case["det_thresh"]))
    assert outputs.found.tolist() == [len(case["scores_3"])]
    np.testing.assert_array_equal(cells(outputs), case["idx_3"][:3])
    np.testing.assert_allclose(outputs.scores_map, case["map_3"][..., 0], atol=1e-5)
    np.testing.assert_allclose(outputs.scores[outputs.mask], case["scores_3"], atol=1e-5)


class Detection(torch.nn.Module):
    """What a network does with its scores, for every recorded window at once: an export has a single one."""

    def forward(self, scores: Tensor, threshold: Tensor) -> list[Tensor]:
        maps = [suppress(scores, window) for window in WINDOWS]
        return [tensor for one in maps for tensor in (one, *fill_slots(one, threshold, 60))]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_same_suppression_with_every_window(tmp_path: Path) -> None:
    case = golden("S448_f_nms")
    scores, threshold = torch.from_numpy(case["map_1"][..., 0]), torch.tensor(0.25)
    path = tmp_path / "detection.onnx"
    module = Detection().eval()
    torch.onnx.export(module, (scores, threshold), path, dynamo=True, verbose=False, opset_version=OPSET)
    session = open_session(path, [(CPU, {})], 1)
    inputs = dict(zip((value.name for value in session.get_inputs()), (scores.numpy(), threshold.numpy())))
    outputs = iter(session.run(None, inputs))
    for window in WINDOWS:
        scores_map, mask, tokens, best, found = itertools.islice(outputs, 5)
        rows, columns = np.divmod(tokens[mask], scores_map.shape[1])
        np.testing.assert_array_equal(scores_map, case[f"map_{window}"][..., 0])
        np.testing.assert_array_equal([rows, columns], case[f"idx_{window}"][1:3])
        np.testing.assert_array_equal(best[mask], case[f"scores_{window}"])
        assert found.tolist() == [len(rows)]


@pytest.mark.parametrize("name", ANNY_CASES)
def test_same_people_of_the_anny_family(exports: Any, name: str) -> None:
    case = golden(name)
    outputs = run(exports, case)
    scores = outputs.scores_map.numpy()
    best = scores > 0
    np.testing.assert_allclose(logit(scores[best]), case["scores_logits"][best], atol=1e-4)
    if not outputs.mask.any():
        assert outputs.found.tolist() == [0] and "idx" not in case
        return
    ours = people(outputs, intrinsics(case))
    np.testing.assert_array_equal(cells(outputs), case["idx"])
    np.testing.assert_allclose(ours["transl"], case["raster_transl"], atol=2e-5)
    np.testing.assert_allclose(ours["shape"], case["shape"][:, :6], atol=5e-5)
    np.testing.assert_allclose(ours["loc"], case["loc"], atol=5e-4)
