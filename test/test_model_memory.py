"""Loading costs little more memory than the network itself, so that the largest fits where it can run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from official_recipe import layout

from ros2_multihmr.model.checkpoint import load_weights, save_weights

# The second of two loads is measured: what PyTorch sets up once is not the file's cost.
PROGRAM = """
import re, sys
from pathlib import Path
from ros2_multihmr.model.checkpoint import load_weights

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

first = load_weights(sys.argv[1])
before = memory("VmRSS")
second = load_weights(sys.argv[1])
print(memory("VmHWM") - before, sum(p.numel() * p.element_size() for p in second.parameters()))
"""


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in the official structure, 120 MB of zeros."""
    path = tmp_path_factory.mktemp("weights") / "official.pt"
    torch.save({"model_state_dict": {n: torch.zeros(s) for n, s in layout("keys_S_672.txt").items()}}, path)
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel's count of memory is Linux's")
@pytest.mark.parametrize(("suffix", "copies"), [(".pt", 0.3), (".safetensors", 1.1)])
def test_extra_memory_is_at_most_the_file(official: Path, tmp_path: Path, suffix: str, copies: float) -> None:
    path = official
    if suffix != official.suffix:
        path = tmp_path / f"own{suffix}"
        save_weights(load_weights(official), path)
    command = [sys.executable, "-c", PROGRAM, str(path)]
    peak, model = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert model > 1e8
    assert 0.8 * model < peak < model + copies * path.stat().st_size
