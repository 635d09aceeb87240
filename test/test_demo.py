"""The demo: runs as a user runs it, and tells what is missing."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.demo import make_video
from ros2_multihmr.ros.demo_report import Part, problems, read_recording
from ros2_multihmr.ros.demo_show import draw_top_view
from ros2_multihmr.sources import open_source, read_image

DEMO = [sys.executable, "-m", "ros2_multihmr.cli", "demo"]
VIDEO_IMAGES = 4
PARTS = [Part("photographs", "", 60.0, ("a", "b")), Part("video", "", 38.0, ("c", "d", "e", "f"))]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `multihmr demo` left behind."""
    out = tmp_path_factory.mktemp("demo")
    command = [
        sys.executable,
        "-m",
        "ros2_multihmr.cli",
        "demo",
        "--out",
        str(out),
        "--video-images",
        str(VIDEO_IMAGES),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(out=out, text=" ".join(done.stdout.split()), recording=read_recording(out / "bag"))


def test_every_image_has_its_answers(demo):
    assert problems(demo.recording, PARTS) == []
    assert len(demo.recording.answers) == 6
    assert all(len(answers.humans.humans) >= 1 for answers in demo.recording.answers[:2])


def test_bag_holds_every_kind_of_output(demo):
    bag = read_bag(demo.out / "bag")
    for topic in ("/multihmr/humans", "/multihmr/markers", "/multihmr/overlay", "/tf", "/camera/camera_info"):
        assert len(bag[topic]) == 6, topic
    assert len(bag["/multihmr/body_model"]) == 1 and len(bag["/diagnostics"]) >= 1


def test_it_prints_rates_stages_and_that_the_weights_are_untrained(demo):
    for part in ("photographs", "video", "rate [Hz]", "network", "convert in", "publish", "are untrained", "CC BY 2.0"):
        assert part in demo.text, part


def test_pictures_show_people(demo):
    for name in ("basketball", "row_of_people"):
        photograph = read_image(f"{_samples()}/{name}.jpg")
        drawn = read_image(demo.out / f"{name}_overlay.png")
        assert drawn.shape == photograph.shape
        assert (np.abs(drawn.astype(int) - photograph).max(axis=2) > 20).mean() > 0.03
        assert len(np.unique(read_image(demo.out / f"{name}_top_view.png").reshape(-1, 3), axis=0)) > 50
    assert open_source(str(demo.out / "video_overlay.mp4")).length == VIDEO_IMAGES


def _samples():
    from ros2_multihmr.assets import asset

    return asset("samples/basketball.jpg").parent


def test_top_view_places_people_where_the_message_says(demo):
    """Whoever is further to the right in the message is further to the right in the picture."""
    answers = demo.recording.answers[0]
    picture = draw_top_view(answers, demo.recording)
    nobody = replace(answers, humans=_without_people(answers.humans))
    people = (picture != draw_top_view(nobody, demo.recording)).any(axis=2)
    assert people.mean() > 0.005


def _without_people(message):
    copy = SimpleNamespace(**{name: getattr(message, name) for name in ("k", "d", "body_model", "untrained", "header")})
    copy.image_width, copy.image_height, copy.distortion_model = message.image_width, message.image_height, ""
    copy.calibrated, copy.rectified, copy.humans = True, False, []
    return copy


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r: replace(r, answers=r.answers[1:]), "6 images were sent, CameraInfo of 5 came"),
        (lambda r: replace(r, marker_arrays=5), "5 MarkerArrays came"),
        (lambda r: _with(r, humans=None), "image 2 of 6: no HumanArray"),
        (lambda r: _with(r, frames=0), "but 0 TF frames"),
        (lambda r: _with(r, meshes={}), "mesh markers of 0"),
        (lambda r: _with(r, overlay=None), "no overlay"),
        (lambda r: replace(r, body_models={}), "no BodyModelInfo"),
        (lambda r: replace(r, answers=[]), "nobody was found in any image"),
    ],
)
def test_what_is_missing_is_told(demo, spoil, says):
    assert any(says in problem for problem in problems(spoil(demo.recording), PARTS))


def _with(recording, **changes):
    answers = list(recording.answers)
    answers[1] = replace(answers[1], **changes)
    return replace(recording, answers=answers)


def test_video_pans_over_the_photograph(tmp_path):
    path, fov_deg = make_video(tmp_path / "video.mp4", 3)
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0] and all(frame.shape == (360, 480, 3) for frame in frames)
    photograph = read_image(_samples() / "basketball.jpg")[..., ::-1]
    for frame, x in zip(frames, (0, 160, 319)):
        assert np.abs(frame.astype(int) - photograph[86 : 86 + 360, x : x + 480]).mean() < 12
    focal = 799 / 2 / np.tan(np.radians(30.0))
    assert np.isclose(480 / 2 / np.tan(np.radians(fov_deg) / 2), focal)


def test_weights_that_cannot_be_read_end_the_demo_with_the_reason(tmp_path):
    command = [
        sys.executable,
        "-m",
        "ros2_multihmr.cli",
        "demo",
        "--out",
        str(tmp_path),
        "--weights",
        "/nowhere.safetensors",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0 and "no such weights file" in told and "Traceback" not in told
