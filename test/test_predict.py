"""Predict: the files say what the estimator found."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ros2_multihmr import cli
from ros2_multihmr.assets import asset
from ros2_multihmr.calibration import Calibration, write_calibration
from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.files.folders import check_folder, make_folder
from ros2_multihmr.model.multi_crop_checkpoint import save_multi_crop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.sources import read_image
from ros2_multihmr.training.crop_start import start_multi_crop

PHOTOGRAPH = asset("samples/basketball.jpg")


@pytest.fixture(scope="module")
def humans():
    """The people that the estimator itself finds, with the weights that find some anywhere."""
    image = read_image(PHOTOGRAPH)
    camera = Camera.from_fov(image.shape[1], image.shape[0], 60.0)
    found = create_estimator(EstimatorConfig(weights="untrained")).estimate(image, camera, vertices=True)
    assert len(found) >= 2
    return found


def _obj_vertices(path):
    return np.array([line.split()[1:] for line in path.read_text().splitlines() if line.startswith("v ")], float)


def test_json_overlay_and_meshes(humans, tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--mesh", "obj", "--weights", "untrained"]
    assert cli.main(["predict", str(PHOTOGRAPH), *arguments]) == 0
    result = json.loads((tmp_path / "basketball.json").read_text())
    assert result["untrained"] and result["weights"] and not result["camera"]["calibrated"]
    assert result["camera"]["width"] == 799 and len(result["people"]) == len(humans)
    for i, person in enumerate(result["people"]):
        assert np.isclose(person["scores"], humans.scores[i], atol=1e-5)
        assert np.allclose(person["origin"], humans.origin[i], atol=1e-4)
        assert np.allclose(person["rotvecs"], humans.rotvecs[i], atol=1e-4)
        assert np.allclose(_obj_vertices(tmp_path / f"basketball_{i + 1}.obj"), humans.vertices[i], atol=1e-4)
    picture, drawn = read_image(PHOTOGRAPH), read_image(tmp_path / "basketball_overlay.png")
    assert drawn.shape == picture.shape and (np.abs(drawn.astype(int) - picture).max(axis=2) > 20).mean() > 0.03
    told = " ".join(capsys.readouterr().out.split())
    assert f"{len(humans)} people in 1 images" in told and "untrained" in told and "guessed field of view of 60" in told


def test_npz_holds_the_arrays(humans, tmp_path):
    arguments = ["--out", str(tmp_path), "--data", "npz", "--mesh", "ply", "--mesh-lod", "reduced", "--no-overlay"]
    arguments += ["--weights", "untrained"]
    assert cli.main(["predict", str(PHOTOGRAPH), *arguments]) == 0
    with np.load(tmp_path / "basketball.npz") as arrays:
        assert json.loads(str(arrays["about"]))["body"]["name"] == humans.body.name
        assert np.allclose(arrays["vertices_lod"], humans.vertices_lod, atol=1e-4)
        assert np.allclose(arrays["keypoints_2d"], humans.keypoints_2d, atol=1e-2)
    header = (tmp_path / "basketball_1.ply").read_bytes()[:200].decode("ascii", "replace")
    assert f"element face {len(humans.body.faces_lod)}" in header
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".npz", *[".ply"] * len(humans)]


def test_a_second_look_changes_people_and_nothing_else(humans, tmp_path, capsys):
    config = MultiCropConfig.for_body(
        "anny", humans.body, num_crops=1, contrastive=False, crop_height=28, crop_width=28, width=32, depth=1, heads=2
    )  # it was never trained: everybody stands in the middle of the box
    save_multi_crop(start_multi_crop(config, humans.body, 0), tmp_path / "second.safetensors")
    arguments = ["--out", str(tmp_path), "--no-overlay", "--data", "npz", "--weights", "untrained"]
    refine = ["--refine", "--refiner-weights", str(tmp_path / "second.safetensors")]
    assert cli.main(["predict", str(PHOTOGRAPH), *arguments, *refine]) == 0
    with np.load(tmp_path / "basketball.npz") as arrays:
        assert np.allclose(arrays["scores"], humans.scores, atol=1e-5)
        assert not np.allclose(arrays["rotvecs"], humans.rotvecs, atol=1e-2)
    assert re.search(rf"The second look .* changed \d+ of {len(humans)} people", capsys.readouterr().out)


def test_a_second_look_that_fails_leaves_people_as_first_found(humans, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise FloatingPointError("rotmats that are not finite")

    monkeypatch.setattr("ros2_multihmr.refining.refiner.Refiner.refine", broken)
    arguments = ["--out", str(tmp_path), "--no-overlay", "--data", "npz", "--weights", "untrained", "--refine"]
    assert cli.main(["predict", str(PHOTOGRAPH), *arguments]) == 1
    with np.load(tmp_path / "basketball.npz") as arrays:
        assert np.allclose(arrays["rotvecs"], humans.rotvecs, atol=1e-4)
    told = " ".join(capsys.readouterr().out.split())
    assert "basketball: the second look failed, its people are as first found: rotmats" in told
    assert f"changed 0 of {len(humans)} people" in told


def test_nobody_is_a_result_too(tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "black.png")
    arguments = ["--out", str(tmp_path / "out"), "--detection-threshold", "1.0"]
    assert cli.main(["predict", str(tmp_path / "black.png"), *arguments]) == 0
    assert json.loads((tmp_path / "out" / "black.json").read_text())["people"] == []
    assert (tmp_path / "out" / "black_overlay.png").exists()


def test_equal_names_do_not_overwrite_each_other(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / folder / "x.png")
    arguments = [str(tmp_path / "a"), str(tmp_path / "b" / "x.png"), "--out", str(tmp_path / "out"), "--no-overlay"]
    assert cli.main(["predict", *arguments]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.json", "x_2.json"]


def test_calibration_is_used_and_checked(tmp_path, capsys):
    k = [[900.0, 0.0, 380.0], [0.0, 905.0, 270.0], [0.0, 0.0, 1.0]]
    write_calibration(tmp_path / "good.yaml", Calibration.of(Camera(k, 799, 533, "plumb_bob", (-0.1, 0, 0, 0, 0))))
    write_calibration(tmp_path / "other.yaml", Calibration.from_fov(640, 480, 60.0))
    arguments = ["predict", str(PHOTOGRAPH), "--out", str(tmp_path), "--calibration"]
    assert cli.main([*arguments, str(tmp_path / "good.yaml")]) == 0
    camera = json.loads((tmp_path / "basketball.json").read_text())["camera"]
    assert camera["k"] == k and camera["calibrated"] and camera["d"][0] == -0.1
    assert cli.main([*arguments, str(tmp_path / "other.yaml")]) == 2
    assert "640x480 images, this one is 799x533" in capsys.readouterr().err


def test_broken_pictures_are_skipped_and_told(tmp_path, capsys):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    assert cli.main(["predict", str(tmp_path), "--out", str(tmp_path / "out"), "--no-overlay"]) == 1
    assert "1 images skipped" in capsys.readouterr().out and (tmp_path / "out" / "a.json").exists()


def test_webcams_are_sent_to_run(capsys):
    assert cli.main(["predict", "0"]) == 2
    assert "multihmr run" in capsys.readouterr().err


def test_out_that_is_a_file_is_told(tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert cli.main(["predict", str(PHOTOGRAPH), "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert f"{tmp_path / 'taken'} is a file; give a folder" in told and "Errno" not in told
    assert (tmp_path / "taken").read_text() == "mine"


def test_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    def refuse(*_args, **_more):
        raise PermissionError(errno.EACCES, "Permission denied")

    check_folder(tmp_path / "a" / "b", "--out")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ValueError, match=r"the folder cannot be made \(Permission denied\)"):
        make_folder(tmp_path / "a", "--out")


@pytest.mark.parametrize("out", ["/proc/results", "/proc/results/below", "/proc"])
def test_places_that_hold_no_files_are_refused_before_any_work(out, capsys):
    assert cli.main(["predict", str(PHOTOGRAPH), "--out", out, "--weights", "/nowhere.safetensors"]) == 2
    told = capsys.readouterr().err
    assert f"--out {out}: nothing can be written to /proc (" in told and told.count("\n") == 1


def test_a_full_disk_names_the_folder_before_and_the_file_during_the_work(tmp_path, monkeypatch, capsys):
    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", full)
        with pytest.raises(ValueError, match=rf"nothing can be written to {tmp_path} \(No space left on device\)"):
            check_folder(tmp_path / "out", "--out")
    picture = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(picture)
    for target, arguments, name in (
        ((Image.Image, "save"), [], "black_overlay.png"),
        ((Path, "write_text"), ["--no-overlay"], "black.json"),
        ((np, "savez_compressed"), ["--no-overlay", "--data", "npz"], "black.npz"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*target, full)
            assert cli.main(["predict", str(picture), "--out", str(tmp_path), *arguments]) == 2
        told = capsys.readouterr().err
        assert "No space left on device" in told and str(tmp_path / name) in told and "Traceback" not in told


def test_unreadable_input_leaves_no_folder_behind(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.png").write_bytes(b"broken")
    for name in ("in", "in/b.png"):
        assert cli.main(["predict", str(tmp_path / name), "--out", str(tmp_path / "out")]) != 0
        assert not (tmp_path / "out").exists()
