"""Parity with the official network through ONNX Runtime on the CPU, within the tolerances of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from official_recipe import golden
from parity import ANNY_CASES, SMPLX_CASES, cells, intrinsics, network_of, people
from scipy.special import logit

from ros2_multihmr.backends.export import export_onnx
from ros2_multihmr.backends.onnxruntime_backend import OnnxRuntimeBackend
from ros2_multihmr.model.checkpoint import save_weights
from ros2_multihmr.model.raw_outputs import RawOutputs

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name, reason="export is an optional extra")

# Exports take a while: 11 shape components and an askew camera change no operator.
CASES = tuple(name for name in SMPLX_CASES if name != "S224_b11")
TOLERANCES = {"scores": 1e-5, "loc": 5e-4, "transl": 2e-5, "rotvec": 2e-4, "expression": 5e-5, "shape": 5e-5}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], OnnxRuntimeBackend]:
    """One export per network, made when first asked for."""
    folder = tmp_path_factory.mktemp("exports")
    made: dict[str, OnnxRuntimeBackend] = {}

    def backend_of(case: dict[str, Any]) -> OnnxRuntimeBackend:
        key = case["recipe"]["keys"]
        if key not in made:
            save_weights(network_of(case), folder / "official.safetensors")
            out = folder / f"{len(made)}.onnx"
            with patch("ros2_multihmr.backends.export.check_inputs_of", lambda _: []):  # the golden cases are the check
                export_onnx(folder / "official.safetensors", out, dynamic_batch=True)
            made[key] = OnnxRuntimeBackend(out)
        return made[key]

    return backend_of


def run(exports: Any, case: dict[str, Any]) -> RawOutputs:
    outputs: RawOutputs = exports(case).infer(case["pixels"], intrinsics(case), float(case["det_thresh"]))
    return outputs


@pytest.mark.parametrize("name", CASES)
def test_same_people(exports: Any, name: str) -> None:
    case = golden(name)
    outputs = run(exports, case)
    np.testing.assert_array_equal(cells(outputs), case["idx"][:3])
    np.testing.assert_allclose(outputs.scores_map, case["scores_map"], atol=1e-5)
    ours = people(outputs, intrinsics(case)) if outputs.mask.any() else {}
    for key, value in ours.items():
        np.testing.assert_allclose(value, case[key], atol=TOLERANCES[key], rtol=0, err_msg=key)


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
