"""The verbs convert and export: what they write, what they say, and what they refuse."""

from pathlib import Path

import pytest
from small_network import small_network

from ros2_multihmr import cli
from ros2_multihmr.backends.agreement import Agreement
from ros2_multihmr.flags import parse_flags
from ros2_multihmr.model.checkpoint import load_weights, save_weights
from ros2_multihmr.ros.run import Options
from ros2_multihmr.verbs import export


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    save_weights(small_network(), path)
    return path


def test_convert_writes_half_and_says_what_it_holds(weights, capsys):
    out = weights.with_name("half.safetensors")
    assert cli.main(["convert", str(weights), "--out", str(out), "--half"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert out.name in text and "parameters" in text
    assert out.stat().st_size < 0.6 * weights.stat().st_size
    assert load_weights(out).config == load_weights(weights).config


@pytest.mark.parametrize("verb", ["convert", "export"])
def test_nothing_is_written_over_its_source(verb, weights, monkeypatch, capsys):
    before = weights.read_bytes()
    monkeypatch.chdir(weights.parent)
    (weights.parent / "link").symlink_to(weights.parent)
    for out in (str(weights), weights.name, f"link/{weights.name}"):
        assert cli.main([verb, str(weights), "--out", out]) == 2
        assert "written over itself; give another file with --out" in capsys.readouterr().err
    assert weights.read_bytes() == before


def test_convert_of_its_own_kind_wants_a_name(weights, capsys):
    assert cli.main(["convert", str(weights)]) == 2
    assert "written over itself" in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "ending"), [("convert", ".safetensors"), ("export", ".onnx")])
def test_a_place_that_cannot_be_written_is_told_before_any_work(verb, ending, weights, monkeypatch, capsys):
    monkeypatch.setattr("ros2_multihmr.model.convert.convert_weights", None)
    monkeypatch.setattr("ros2_multihmr.backends.export.export_onnx", None)
    folder = weights.parent
    (folder / f"folder{ending}").mkdir()
    places = {
        folder / "none" / f"out{ending}": f"there is no folder {folder / 'none'}",
        weights / f"out{ending}": f"there is no folder {weights}",
        folder / f"folder{ending}": "is a folder; give a file in it",
        folder / "out.pt": f"expected a name ending in {ending}",
        Path("/proc") / f"out{ending}": "nothing can be written to /proc (",  # not even by root, who may do everything
    }
    for out, says in places.items():
        assert cli.main([verb, str(weights), "--out", str(out)]) == 2
        assert says in capsys.readouterr().err
    assert cli.main([verb, ""]) == 2
    assert "no file is given" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["convert", "export"])
def test_missing_weights(verb, tmp_path, capsys):
    assert cli.main([verb, str(tmp_path / "none.pt")]) == 2
    assert "no such weights file" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_export_tells_the_agreement(weights, capsys, monkeypatch):
    agreement = Agreement(people=3, lost=0.0, largest={"depth": 1e-6})

    def write(source, out, **_settings):
        from ros2_multihmr.backends.export import ExportReport

        return ExportReport(out, 1_500_000, "float32", False, agreement)

    monkeypatch.setattr("ros2_multihmr.backends.export.export_onnx", write)
    assert export.main(export.Options(weights=str(weights))) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "own.onnx" in text and "3 people compared, 0.0% lost" in text and "depth 1e-06" in text


def test_an_export_that_disagrees_fails(weights, capsys, monkeypatch):
    def disagree(*_args, **_settings):
        raise ArithmeticError("depth 0.5, allowed 0.001")

    monkeypatch.setattr("ros2_multihmr.backends.export.export_onnx", disagree)
    assert export.main(export.Options(weights=str(weights))) == 1
    assert "not exported: depth 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["896_L", "672_L", "672_B", "672_S", "1288_L_bedlam", "1288_L_agora", "672_L_anny"])
def test_readme_tells_of_every_official_checkpoint(name):
    """How to get it, its licence, and a command whose flags are flags."""
    readme = Path(__file__).resolve().parents[1] / "README.md"
    row = next(line for line in readme.read_text().splitlines() if f"--weights multiHMR_{name}.pt`" in line)
    _, what, get, licence, command, _ = (cell.strip() for cell in row.split("|"))
    size, backbone = name.split("_")[:2]
    assert what.startswith(f"{size} px, ViT-{backbone}, " + ("Anny" if "anny" in name else "SMPL-X"))
    assert "](https://" in get and ("](https://" in licence or licence == "the same")
    program, verb, *flags = command.strip("`").split()
    options = parse_flags(Options, flags, program=f"{program} {verb}")
    assert (program, verb, options.weights) == ("multihmr", "run", f"multiHMR_{name}.pt")
