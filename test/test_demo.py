"""The demo: runs as a user runs it, and tells what is missing."""

import io
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from multihmr.msg import Human, HumanArray
from rich.console import Console
from scipy.spatial.transform import Rotation

from ros2_multihmr.body import create_body
from ros2_multihmr.calibration import read_calibration
from ros2_multihmr.ros import demo as demo_module
from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.conversions import body_model_info
from ros2_multihmr.ros.demo import Options, main, report
from ros2_multihmr.ros.demo_report import Answers, Part, Recording, answers_of, problems, read_recording
from ros2_multihmr.ros.demo_sender import Sender, new_losses
from ros2_multihmr.ros.demo_show import draw_top_view, show_advice
from ros2_multihmr.ros.demo_truth import clip_part, fullest, received_scores, show_errors, true_meshes
from ros2_multihmr.ros.received import received_camera
from ros2_multihmr.sources import open_source, read_image

DEMO = [sys.executable, "-m", "ros2_multihmr.cli", "demo"]
CLIP_IMAGES = 4
PHOTOGRAPHS = Part("photographs", "", 60.0, ("a", "b"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What the demo below sends."""
    return [PHOTOGRAPHS, clip_part(tmp_path_factory.mktemp("clip"), CLIP_IMAGES)]


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
        "--clip-images",
        str(CLIP_IMAGES),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(out=out, text=" ".join(done.stdout.split()), recording=read_recording(out / "bag"))


def test_every_image_has_its_answers(demo, parts):
    assert problems(demo.recording, parts) == []
    assert len(demo.recording.answers) == 6


def test_bag_holds_every_kind_of_output(demo):
    bag = read_bag(demo.out / "bag")
    for topic in ("/multihmr/humans", "/multihmr/markers", "/multihmr/overlay", "/camera/camera_info"):
        # A last MarkerArray takes everything off the display; whether it is recorded is a matter of who ends first.
        last = [m for _, m in bag[topic] if topic.endswith("markers") and [k.action for k in m.markers] == [3]]
        assert len(bag[topic]) - len(last) == 6, topic
    somebody = [m for _, m in bag["/multihmr/humans"] if any(h.tracking_state != Human.TRACK_LOST for h in m.humans)]
    assert len(bag["/tf"]) == len(somebody) > 0
    assert len(bag["/multihmr/body_model"]) == 1 and len(bag["/diagnostics"]) >= 1


def test_it_prints_rates_stages_and_errors(demo):
    for part in ("photographs", "clip", "rate [Hz]", "network", "convert in", "publish", "CC BY 2.0"):
        assert part in demo.text, part
    assert "against the truth (4 images" in demo.text and "were missed" in demo.text


def test_it_says_what_to_expect_of_the_weights(demo):
    untrained = demo.recording.answers[0].humans.untrained
    assert ("are untrained" in demo.text) == untrained
    assert ("On photographs nobody knows the truth" in demo.text) == (not untrained)
    text = io.StringIO()
    answers = [replace(a, humans=_with_untrained(a.humans, not untrained)) for a in demo.recording.answers]
    show_advice(Console(file=text, width=2000), replace(demo.recording, answers=answers))
    assert ("are untrained" in text.getvalue()) == (not untrained)


def _with_untrained(message, untrained):
    return SimpleNamespace(weights=message.weights, untrained=untrained)


def test_pictures_show_people(demo):
    for name, answers in zip(("basketball", "row_of_people"), demo.recording.answers):
        photograph = read_image(f"{_samples()}/{name}.jpg")
        drawn = read_image(demo.out / f"{name}_overlay.png")
        assert drawn.shape == photograph.shape
        if answers.humans.humans:
            assert (np.abs(drawn.astype(int) - photograph).max(axis=2) > 20).mean() > 0.01
        assert len(np.unique(read_image(demo.out / f"{name}_top_view.png").reshape(-1, 3), axis=0)) > 20
    assert read_image(demo.out / "clip_overlay.png").shape == (360, 640, 3)
    strip, top = read_image(demo.out / "clip.jpg"), read_image(demo.out / "clip_top_view.png")
    assert strip.shape == (360, 2 * 640 + 2 * 8 + round(top.shape[1] * 360 / top.shape[0]), 3)
    assert open_source(str(demo.out / "clip_overlay.mp4")).length == CLIP_IMAGES


def _samples():
    from ros2_multihmr.assets import asset

    return asset("samples/basketball.jpg").parent


def test_the_clips_camera_and_images_arrive_as_they_are(demo, parts):
    """The node used the clip's own intrinsics, and drew over the clip's own pixels."""
    answers = answers_of(demo.recording, parts)[1]
    for one, sample in zip(answers, parts[1].truth, strict=True):
        received = received_camera(one.humans)
        assert np.array_equal(received.k, sample.camera.k) and received.calibrated
        assert (received.width, received.height) == (640, 360)
        untouched = (one.overlay == sample.image).all(axis=2)
        assert untouched.mean() > 0.2


def test_top_view_shows_people_and_outlines_those_who_are_there(demo, parts):
    answers, sample = answers_of(demo.recording, parts)[1][-1], parts[1].truth[-1]
    alone, both = (draw_top_view(answers, demo.recording, truth) for truth in (None, sample))
    nobody = replace(answers, humans=_without_people(answers.humans))
    if answers.humans.humans:
        assert (alone != draw_top_view(nobody, demo.recording)).any(axis=2).mean() > 0.005
    assert (both != alone).any(axis=2).mean() > 0.001
    assert true_meshes(sample).shape[0] == len(sample.labels)


def _without_people(message):
    copy = SimpleNamespace(**{name: getattr(message, name) for name in ("k", "d", "body_model", "untrained", "header")})
    copy.image_width, copy.image_height, copy.distortion_model = message.image_width, message.image_height, ""
    copy.calibrated, copy.rectified, copy.humans = True, False, []
    return copy


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r: replace(r, answers=r.answers[1:]), "clip: 4 images were sent, 3 came"),
        (lambda r: replace(r, marker_arrays=5), "5 MarkerArrays came"),
        (lambda r: _with(r, humans=None), "photographs, b: no HumanArray"),
        (lambda r: _with(r, frames=99), "but 99 TF frames"),
        (lambda r: _with(r, meshes={-1: None}), "mesh markers of 1"),
        (lambda r: _with(r, overlay=None), "no overlay"),
        (lambda r: replace(r, body_models={}), "no BodyModelInfo"),
        (lambda r: replace(r, answers=[]), "clip: nobody was found in any image"),
    ],
)
def test_what_is_missing_is_told(demo, parts, spoil, says):
    assert any(says in problem for problem in problems(spoil(demo.recording), parts))


def test_the_rest_is_shown_where_something_is_missing(demo, parts, tmp_path, monkeypatch):
    answers = list(demo.recording.answers)
    answers[1] = replace(answers[1], humans=None, overlay=None)
    answers[3] = replace(answers[3], humans=None, meshes={}, overlay=None)
    monkeypatch.setattr(demo_module, "read_recording", lambda *_: replace(demo.recording, answers=answers))
    sent = [replace(parts[0], losses={"dropped, a newer image came": 1, "failed": 0}), parts[1]]
    text = io.StringIO()
    assert report(sent, tmp_path, Console(file=text, width=200), 0.0) == 1
    pictures = {
        "a_overlay.png",
        "a_top_view.png",
        "clip_overlay.png",
        "clip_top_view.png",
        "clip.jpg",
        "clip_overlay.mp4",
    }
    assert {path.name for path in tmp_path.iterdir()} == pictures
    assert open_source(str(tmp_path / "clip_overlay.mp4")).length == CLIP_IMAGES - 1
    for line in (
        "photographs, b: no HumanArray",
        "says the node: 1 x dropped, a newer image came",
        f"clip, {parts[1].names[1]}: no HumanArray",
        "against the truth (3 images",
    ):
        assert line in text.getvalue()
    assert "network" in text.getvalue() and "failed" not in text.getvalue()


def test_nothing_at_all_is_told_too(demo, parts, tmp_path, monkeypatch):
    empty = replace(demo.recording, answers=[], marker_arrays=0, stages_ms={})
    monkeypatch.setattr(demo_module, "read_recording", lambda *_: empty)
    text = io.StringIO()
    assert report(parts, tmp_path, Console(file=text, width=200), 0.0) == 1
    for line in ("photographs: 2 images were sent, 0 came", "clip: images were lost", "clip: nobody was found"):
        assert line in text.getvalue()


def test_earlier_attempts_do_not_count(demo, parts):
    """Only what was sent within the parts' times is looked at."""
    stamps = [sec * 10**9 + nanosec for sec, nanosec in (answers.stamp for answers in demo.recording.answers)]
    windows = (stamps[0], stamps[2] - 1), (stamps[2], stamps[-1] + 10**10)
    parts = [replace(part, sent_ns=window) for part, window in zip(parts, windows)]
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
    sender._send(PHOTOGRAPHS, 8.0)
    assert sender.rates == [8.0, 4.0, 2.0] and "again at 4 Hz" in sender._console.file.getvalue()
    hopeless = Busy(99)
    assert hopeless._send(PHOTOGRAPHS, 8.0).losses == {"dropped": 99} and hopeless.rates == [8.0, 4.0, 2.0, 1.0]


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


# ---- the error against the truth


def test_who_is_where_the_truth_is_has_no_error(parts, body):
    scores = received_scores(parts[1], *_recorded(parts[1], body, lambda sample: sample.labels))
    assert scores.found.all() and scores.false.sum() == 0 and len(scores.keys) == CLIP_IMAGES
    for name in ("position_m", "orientation_deg", "mpjpe_m", "pa_mpjpe_m", "px"):
        assert np.nanmax(getattr(scores.errors, name)) < 2e-2, name


def test_who_is_elsewhere_has_the_error_that_was_made(parts, body):
    """Everybody a tenth farther away, the same in the image: root error 10 % of the distance, F1 as before."""
    farther = _recorded(parts[1], body, lambda s: replace(s.labels, center=s.labels.center + 0.1 * s.labels.center))
    scores = received_scores(parts[1], *farther)
    assert scores.found.all()
    assert np.allclose(scores.errors.position_share, 0.1, atol=0.01) and np.nanmax(scores.errors.mpjpe_m) < 1e-4


def test_the_missed_and_the_invented_are_counted(parts, body):
    def one_less(sample):
        return sample.labels.select(np.arange(len(sample.labels)) != 1)

    answers, recording = _recorded(parts[1], body, one_less)
    scores = received_scores(parts[1], answers, recording)
    assert (~scores.found).sum() == CLIP_IMAGES and scores.false.sum() == 0
    received = sum(len(a.humans.humans) for a in answers)
    twice = [replace(a, humans=_twice(a.humans)) for a in answers]
    assert received_scores(parts[1], twice, recording).false.sum() == received
    text = io.StringIO()
    show_errors(Console(file=text, width=200), parts[1], twice, recording)
    assert f"{scores.found.sum()} of {len(scores.guess)} people were found" in text.getvalue()
    assert f"{CLIP_IMAGES} were missed; {received} were seen where nobody is" in text.getvalue()
    assert "root position, median" in text.getvalue()


def test_where_nobody_is_found_there_is_no_error_to_tell(parts, body):
    recorded = _recorded(parts[1], body, lambda sample: sample.labels.select(np.zeros(len(sample.labels), bool)))
    text = io.StringIO()
    show_errors(Console(file=text, width=200), parts[1], *recorded)
    assert "0 of" in text.getvalue() and "Nobody was found where somebody is" in text.getvalue()
    assert "root position" not in text.getvalue()
    assert received_scores(parts[1], recorded[0][1:], recorded[1]) is None


def test_people_who_are_lost_are_not_compared(parts, body):
    answers, recording = _recorded(parts[1], body, lambda sample: sample.labels)
    for one in answers:
        for human in one.humans.humans:
            human.tracking_state = Human.TRACK_LOST
    assert not received_scores(parts[1], answers, recording).found.any()


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


def _recorded(part, body, labels_of):
    """Answers and recording as if the node had found what `labels_of` a sample says."""
    answers = [
        Answers((index, 0), _message(sample, labels_of(sample), body), 0.0, 0.0, 0, {}, None)
        for index, sample in enumerate(part.truth)
    ]
    return answers, Recording(answers, 0, {body.info.name: body_model_info(body.info)}, {})


def _message(sample, labels, body):
    arrays = (labels.rotmats, labels.shape, labels.expression, labels.center)
    keypoints = body(*map(torch.from_numpy, arrays)).keypoints.detach().numpy()
    hips = keypoints[:, [body.info.keypoint_names.index(f"{side}_hip") for side in ("left", "right")]].mean(axis=1)
    turns = Rotation.from_matrix(labels.rotmats[:, 0] @ body.info.body_axes).as_quat() if len(labels) else ()
    message = HumanArray(body_model=body.info.name)
    for points, px, place, turn in zip(keypoints, sample.camera.project(keypoints), hips.tolist(), turns):
        human = Human(keypoints_3d=points.ravel().tolist(), keypoints_2d=px.ravel().tolist())
        pose = human.pose.pose
        pose.position.x, pose.position.y, pose.position.z = place
        pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = turn.tolist()
        message.humans.append(human)
    return message


def _twice(message):
    return HumanArray(body_model=message.body_model, humans=[*message.humans, *message.humans])


def test_the_clip_is_unpacked_as_a_camera_sends_it(parts, tmp_path):
    part = clip_part(tmp_path, 2)
    frames = list(open_source(part.source).frames())
    assert part.names == tuple(frame.name for frame in frames) and len(frames) == 2
    for frame, sample in zip(frames, part.truth):
        assert np.array_equal(frame.image, sample.image)
    assert np.array_equal(read_calibration(part.calibration).camera.k, part.truth[0].camera.k)
    assert fullest(part.truth) == int(len(part.truth[1].labels) >= len(part.truth[0].labels))


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
