"""What tests of exports share: the packages that write and run one. To import this skips a module that lacks them."""

from __future__ import annotations

import pytest

onnx = pytest.importorskip("onnx", reason="export is an optional extra")
pytest.importorskip("onnxruntime", reason="export is an optional extra")
pytest.importorskip("onnxscript", reason="export is an optional extra")
