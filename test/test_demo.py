"""The demo: runs as a user runs it, and tells what is missing."""

import io
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from rich.console import Console

from ros2_multihmr.ros import demo as demo_module
from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.demo import Options, main, make_video, report
from ros2_multihmr.ros.demo_report import Part, answers_of, problems, read_recording
from ros2_multihmr.ros.demo_sender import Sender, new_losses
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
        (lambda r: replace(r, answers=r.answers[1:]), "video: 4 images were sent, 3 came"),
        (lambda r: replace(r, marker_arrays=5), "5 MarkerArrays came"),
        (lambda r: _with(r, humans=None), "photographs, b: no HumanArray"),
        (lambda r: _with(r, frames=0), "but 0 TF frames"),
        (lambda r: _with(r, meshes={}), "mesh markers of 0"),
        (lambda r: _with(r, overlay=None), "no overlay"),
        (lambda r: replace(r, body_models={}), "no BodyModelInfo"),
        (lambda r: replace(r, answers=[]), "nobody was found in any image"),
    ],
)
def test_what_is_missing_is_told(demo, spoil, says):
    assert any(says in problem for problem in problems(spoil(demo.recording), PARTS))


def test_the_rest_is_shown_where_something_is_missing(demo, tmp_path, monkeypatch):
    answers = list(demo.recording.answers)
    answers[1] = replace(answers[1], humans=None, overlay=None)
    answers[3] = replace(answers[3], meshes={}, overlay=None)
    monkeypatch.setattr(demo_module, "read_recording", lambda *_: replace(demo.recording, answers=answers))
    parts = [replace(PARTS[0], losses={"dropped, a newer image came": 1, "failed": 0}), PARTS[1]]
    text = io.StringIO()
    assert report(parts, tmp_path, Console(file=text, width=200), 0.0) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a_overlay.png", "a_top_view.png", "video_overlay.mp4"}
    assert open_source(str(tmp_path / "video_overlay.mp4")).length == VIDEO_IMAGES - 1
    for line in (
        "photographs, b: no HumanArray",
        "says the node: 1 x dropped, a newer image came",
        "video, d: no overlay",
    ):
        assert line in text.getvalue()
    assert "network" in text.getvalue() and "failed" not in text.getvalue()


def test_nothing_at_all_is_told_too(demo, tmp_path, monkeypatch):
    empty = replace(demo.recording, answers=[], marker_arrays=0, stages_ms={})
    monkeypatch.setattr(demo_module, "read_recording", lambda *_: empty)
    text = io.StringIO()
    assert report(PARTS, tmp_path, Console(file=text, width=200), 0.0) == 1
    assert "photographs: 2 images were sent, 0 came" in text.getvalue()


def test_earlier_attempts_do_not_count(demo):
    """Only what was sent within the parts' times is looked at."""
    stamps = [sec * 10**9 + nanosec for sec, nanosec in (answers.stamp for answers in demo.recording.answers)]
    windows = (stamps[0], stamps[2] - 1), (stamps[2], stamps[-1] + 10**10)
    parts = [replace(part, sent_ns=window) for part, window in zip(PARTS, windows)]
    whole = read_recording(demo.out / "bag", parts)
    assert [len(part) for part in answers_of(whole, parts)] == [2, 4] and problems(whole, parts) == []
    second = read_recording(demo.out / "bag", parts[1:])
    assert len(second.answers) == 4 and problems(second, parts[1:]) == []


def test_a_part_is_sent_again_at_half_the_rate_if_an_image_was_dropped(tmp_path):
    class Busy(Sender):
        def __init__(self, drops):
            self.rates, self._drops, self._console = [], drops, Console(file=io.StringIO())

        def _attempt(self, part, rate_hz):
            self.rates.append(rate_hz)
            return replace(part, losses={"dropped": self._drops}), len(self.rates) > self._drops

    sender = Busy(2)
    sender._send(PARTS[1], 8.0)
    assert sender.rates == [8.0, 4.0, 2.0] and "again at 4 Hz" in sender._console.file.getvalue()
    hopeless = Busy(99)
    assert hopeless._send(PARTS[1], 8.0).losses == {"dropped": 99} and hopeless.rates == [8.0, 4.0, 2.0, 1.0]


def test_losses_are_those_since_the_part_began():
    before = {"received": 10, "published": 9, "failed": 0, "dropped, x": 1}
    after = {"received": 13, "published": 10, "failed": 1, "dropped, x": 2}
    assert new_losses(before, after, 4) == {"failed": 1, "dropped, x": 1, "never reached the node": 1}


def test_what_is_no_bag_of_a_demo_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_module, "exchange", lambda *_: pytest.fail("started"))
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not a bag of an earlier demo"):
        main(Options(out=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["bag"] and (tmp_path / "bag" / "thesis.txt").exists()
    with pytest.raises(ValueError, match="is a file"):
        main(Options(out=str(tmp_path / "bag" / "thesis.txt")))


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
