"""Evaluation: perfect predictions are without error, known errors come out, the benchmark stays what it was."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from synthetic_smplx import write_smplx

from ros2_multihmr import cli
from ros2_multihmr.body import create_body
from ros2_multihmr.camera import Camera
from ros2_multihmr.evaluation import benchmark as benchmarks
from ros2_multihmr.evaluation import freeze as freezing
from ros2_multihmr.evaluation.figures import figures
from ros2_multihmr.evaluation.generate import generate
from ros2_multihmr.evaluation.geometry import places
from ros2_multihmr.evaluation.groups import groups
from ros2_multihmr.evaluation.page import NETWORK, Result, page, to_json
from ros2_multihmr.evaluation.pictures import chosen, ids_of, image_losses, side_by_side
from ros2_multihmr.evaluation.predictions import Prediction, PredictionFolder
from ros2_multihmr.evaluation.predictors import Averages, BoxSize, ConstantDepth, MeanPose
from ros2_multihmr.evaluation.scoring import score
from ros2_multihmr.evaluation.specification import Truth, freeze, read_specification
from ros2_multihmr.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import Labels, Sample
from ros2_multihmr.samples.shards import write_shard
from ros2_multihmr.verbs import evaluate

BODY = create_body("anny")
CAMERA = Camera.from_fov(160, 120, 60.0)
UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the model's z up is the camera's -y


def sample_of(seed, people=None, visibility=1.0):
    """A grey image; people beside each other at 3 to 6 m, turned about the vertical."""
    rng = np.random.default_rng(seed)
    number = seed % 4 if people is None else people
    info = BODY.info
    rotvecs = rng.normal(scale=0.15, size=(number, len(info.posed_joints), 3))
    rotmats = rotvec_to_rotmat(rotvecs)
    rotmats[:, 0] = UPRIGHT @ rotvec_to_rotmat(np.array([0, 0, 1]) * rng.uniform(-3, 3, (number, 1)))
    shape = rng.uniform(0.3, 0.7, (number, len(info.shape_names)))
    center = np.stack([np.arange(number) - 1.0, np.full(number, -0.6), rng.uniform(3, 6, number)], axis=-1)
    arrays = [array.astype(np.float32) for array in (rotmats, shape, np.zeros((number, 52)), center)]
    with torch.inference_mode():
        keypoints = BODY(*map(torch.from_numpy, arrays)).keypoints.numpy()
    visible = CAMERA.contains(CAMERA.project(keypoints)).astype(np.float32)
    labels = Labels(
        "anny", *arrays, keypoints, visible, np.full(number, visibility, np.float32), np.arange(number, dtype=np.int32)
    )
    labels.check(info)
    return Sample(f"val-{seed:08d}", rng.integers(0, 255, (120, 160, 3)).astype(np.uint8), CAMERA, labels)


SAMPLES = [sample_of(seed) for seed in range(8)]


def truth_as_guess(sample, **changes):
    labels = sample.labels
    rotvecs = rotmat_to_rotvec(labels.rotmats).astype(np.float32)
    guess = Prediction(
        sample.key, np.ones(len(labels), np.float32), rotvecs, labels.shape, labels.expression, labels.center, 0.1
    )
    return dataclasses.replace(guess, **changes)


def kept(guess, those):
    arrays = {name: getattr(guess, name)[those] for name in ("scores", "rotvecs", "shape", "expression", "center")}
    return dataclasses.replace(guess, **arrays)


def scored(predictor, samples=SAMPLES):
    return score(samples, {NETWORK: predictor}, {NETWORK: BODY}, BODY)[0]


def values_of(scores):
    return {figure.name: figure.value for figure in figures(scores)}


def averages(samples=SAMPLES):
    return Averages.of((sample.labels, sample.camera) for sample in samples)


def synthesize(seeds, scene, body):
    """Stands in for the renderer."""
    assert scene["split"] == "val" and body == "anny"
    return (sample_of(seed) for seed in seeds)


@pytest.fixture(scope="module")
def specification():
    return freeze(
        "synthetic-val",
        {"split": "val"},
        2,
        map(sample_of, range(2, 8)),
        averages(),
        averages_from="a test",
        package="1",
    )


def test_truth_is_without_error():
    values = values_of(scored(truth_as_guess))
    assert values["precision"] == values["recall"] == values["F1"] == values["depth order (PCOD)"] == 100.0
    assert values["time, median"] == pytest.approx(100.0)
    lengths = [
        value for name, value in values.items() if name.startswith(("root", "depth, ", "depth of", "MPJPE", "PA"))
    ]
    assert np.allclose([*lengths, values["PVE, mean"], values["hands, mean"]], 0.0, atol=0.01)
    assert values["orientation, median"] < 0.1 and values["2D, median"] < 0.01


def test_known_errors_come_out():
    """Everybody 0.5 m too far and turned by 20 degrees about the head's vertical."""
    turn = rotvec_to_rotmat(np.radians([0.0, 20, 0]))

    def predictor(sample):
        labels = sample.labels
        rotmats = labels.rotmats.astype(np.float64)
        rotmats[:, 0] = turn @ rotmats[:, 0]
        guess = truth_as_guess(sample, rotvecs=rotmat_to_rotvec(rotmats).astype(np.float32))
        hips = [BODY.info.keypoint_names.index(name) for name in ("left_hip", "right_hip")]
        lever = labels.keypoints[:, hips].mean(axis=1) - labels.center
        return dataclasses.replace(
            guess, center=(labels.center + (0, 0, 0.5) + lever - lever @ turn.T).astype(np.float32)
        )

    scores = scored(predictor)
    assert np.allclose(scores.errors.position_m, 0.5, atol=1e-4) and np.allclose(scores.errors.depth_m, 0.5, atol=1e-4)
    assert np.allclose(scores.errors.position_share * scores.facts.distance_m, 0.5, atol=1e-4)
    assert np.allclose(scores.errors.orientation_deg, 20.0, atol=0.01)
    assert (scores.errors.mpjpe_m > 0.01).all() and np.allclose(scores.errors.pa_mpjpe_m, 0.0, atol=1e-4)
    assert (scores.errors.px > 1.0).all()


def test_misses_and_ghosts_are_counted():
    def predictor(sample):
        """Leaves the first person out, and sees one person too many, 50 m away."""
        guess = truth_as_guess(sample)
        ghost = [*range(1, len(guess)), *([0] if len(guess) else [])]
        guess = kept(guess, np.array(ghost, np.intp))
        if len(guess):
            guess.center[-1] = (-30.0, 20.0, 50.0)
        return guess

    people = np.array([len(sample.labels) for sample in SAMPLES])
    scores = scored(predictor)
    assert scores.false.tolist() == (people > 0).tolist()
    found, all_of_them = (people - 1).clip(0).sum(), people.sum()
    values = values_of(scores)
    assert values["recall"] == pytest.approx(100 * found / all_of_them)
    assert values["precision"] == pytest.approx(100 * found / all_of_them)
    assert values["NMJE"] == pytest.approx(values["MPJPE, mean"] / (values["F1"] / 100))
    assert np.isnan(scores.errors.position_m).sum() == all_of_them - found


def test_hardly_visible_people_do_not_count():
    samples = [sample_of(3, visibility=0.2), sample_of(2, visibility=0.3)]
    nobody = scored(lambda sample: kept(truth_as_guess(sample), np.zeros(0, np.intp)), samples)
    assert len(nobody.guess) == 2 and not nobody.found.any()
    everybody = scored(truth_as_guess, samples)
    assert everybody.ignored.tolist() == [3.0, 0.0] and not everybody.false.any() and everybody.found.all()


def test_nobody_found_is_told():
    def none(sample):
        return kept(truth_as_guess(sample), np.zeros(0, np.intp))

    people = sum(len(sample.labels) for sample in SAMPLES)
    (told,) = evaluate.nobody(scored(none), 0.3)
    assert f"none of the {people} people who count, with 0 false" in told and "(0.3)" in told
    assert evaluate.nobody(scored(truth_as_guess), 0.3) == []
    assert evaluate.nobody(scored(none, [sample_of(0)]), 0.3) == [], "nobody is there"


def test_no_people_have_figures_without_value():
    values = values_of(scored(truth_as_guess, [sample_of(0)]))
    assert np.isnan(values["recall"]) and np.isnan(values["MPJPE, mean"])


def test_range_holds_the_value_and_narrows_with_more_images():
    def noisy(sample):
        rng = np.random.default_rng(len(sample.labels))
        return truth_as_guess(
            sample, center=sample.labels.center * rng.uniform(1, 1.2, (len(sample.labels), 1)).astype("f")
        )

    few, many = (figures(scored(noisy, SAMPLES * times))[4] for times in (1, 4))
    assert few.low < few.value < few.high and few.value == pytest.approx(many.value)
    assert many.high - many.low < few.high - few.low


def test_groups_split_the_people():
    found = groups(scored(truth_as_guess))
    for by in ("distance [m]", "people in the image", "visible part", "head"):
        assert sum(group.people for group in found if group.by == by) == sum(len(s.labels) for s in SAMPLES)
    ranges = [group.range for group in found if group.by == "people in the image"]
    assert ranges == ["1", "2", "3 to 4"] and all(group.recall == 1.0 for group in found)


def test_predictors_know_what_they_are_told():
    known = averages()
    mean_pose = scored(MeanPose(known, BODY))
    assert np.allclose(mean_pose.errors.position_m, 0.0, atol=1e-3)
    assert np.allclose(mean_pose.errors.orientation_deg, 0.0, atol=0.1) and (mean_pose.errors.mpjpe_m > 0.01).all()
    constant, box = scored(ConstantDepth(known)), scored(BoxSize(known))
    assert constant.found.all() and box.found.all()
    for sample in SAMPLES:
        guess = ConstantDepth(known)(sample)
        assert np.allclose(guess.center[:, 2], known.depth_m)
        assert np.allclose(CAMERA.project(guess.center), CAMERA.project(sample.labels.center), atol=1e-3)
    assert np.nanmedian(box.errors.depth_share) < np.nanmedian(constant.errors.depth_share)


def test_averages_by_hand():
    one, faint = sample_of(1, people=1), sample_of(2, people=2, visibility=0.1)
    known = averages([one, faint])
    assert known.people == 1 and known.depth_m == pytest.approx(float(one.labels.center[0, 2]), abs=1e-3)
    assert np.allclose(rotvec_to_rotmat(known.rotvecs), one.labels.rotmats[0], atol=1e-3)
    assert np.allclose(known.shape, one.labels.shape[0], atol=1e-3)
    assert Averages.from_json(json.loads(json.dumps(known.to_json()))) == known
    with pytest.raises(ValueError, match="no image shows anybody"):
        averages([faint])
    with pytest.raises(ValueError, match="depth_m missing"):
        Averages.from_json({key: value for key, value in known.to_json().items() if key != "depth_m"})


def test_predictions_survive_an_interrupt(tmp_path):
    first = PredictionFolder(tmp_path, {"weights": "a"})
    for sample in SAMPLES[:3]:
        first.add(truth_as_guess(sample))
    first.flush()
    first.add(truth_as_guess(SAMPLES[3]))  # never written
    second = PredictionFolder(tmp_path, {"weights": "a"})
    assert second.keys == {sample.key for sample in SAMPLES[:3]}
    with pytest.raises(ValueError, match="there already"):
        second.add(truth_as_guess(SAMPLES[0]))
    for sample in SAMPLES[3:]:
        second.add(truth_as_guess(sample))
    second.flush()
    for read, sample in zip(PredictionFolder(tmp_path, {"weights": "a"}).read(), SAMPLES, strict=True):
        for name, value in vars(truth_as_guess(sample)).items():
            assert np.array_equal(getattr(read, name), value), name
    with pytest.raises(ValueError, match="weights: 'a' there, 'b' now"):
        PredictionFolder(tmp_path, {"weights": "b"})


def test_specification_reads_back_and_notices_edits(specification, tmp_path):
    path = tmp_path / "spec.json"
    specification.write(path)
    assert read_specification(path) == specification and read_specification(path).sha256 == specification.sha256
    with pytest.raises(ValueError, match="is frozen"):
        specification.write(path)
    specification.write(path, replace=True)
    path.write_text(path.read_text().replace('"first_seed": 2', '"first_seed": 3'))
    with pytest.raises(ValueError, match="changed after it was frozen"):
        read_specification(path)
    assert sum(specification.histograms["images by people"].values()) == 6
    assert specification.histograms["images by people"]["3"] == 2
    assert sum(specification.histograms["people by distance [m]"].values()) == 2 + 3 + 0 + 1 + 2 + 3


def test_truth_bears_rounding_and_nothing_else():
    sample = SAMPLES[3]
    truth = Truth.of(sample)

    def changed(**arrays):
        return truth.differences(
            Truth.of(dataclasses.replace(sample, labels=dataclasses.replace(sample.labels, **arrays)))
        )

    labels = sample.labels
    noise = np.random.default_rng(0).normal(scale=1e-6, size=labels.keypoints.shape).astype(np.float32)
    assert changed(keypoints=labels.keypoints * (1 + noise)) == []
    assert changed(center=labels.center + np.float32(0.05))
    assert changed(rotmats=labels.rotmats[::-1]) and truth.differences(Truth.of(SAMPLES[2]))
    dimmed = dataclasses.replace(sample, image=sample.image // 2)
    assert truth.differences(Truth.of(dimmed)) == [] and truth.pixels != Truth.of(dimmed).pixels


def test_frozen_images_are_made_once_and_checked(specification, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks, "_PER_SHARD", 4)
    assert list(benchmarks.fill(specification, tmp_path, synthesize, limit=3)) == [4]
    assert list(benchmarks.fill(specification, tmp_path, synthesize)) == [2]
    assert list(benchmarks.fill(specification, tmp_path, lambda seeds, *_: iter(map(sample_of, seeds)))) == []
    data = benchmarks.open_frozen(specification, tmp_path, limit=5)
    assert [sample.key for sample in data.samples()] == [f"val-{seed:08d}" for seed in range(2, 7)]
    assert len(data) == 5 and "the first 5" in data.title and benchmarks.same_pixels(data) == 5
    assert all(np.array_equal(a.image, sample_of(seed).image) for a, seed in zip(data.samples(), range(2, 7)))


def test_other_images_than_the_frozen_ones_are_told(specification, tmp_path):
    with pytest.raises(ValueError, match=r"seed 3 is not the frozen one \(people 0, not 3"):
        list(benchmarks.fill(specification, tmp_path, lambda seeds, *_: (sample_of(2 if s == 2 else 4) for s in seeds)))
    with pytest.raises(ValueError, match="no-such-data: .* expected one of synthetic-val, clips, a folder of shards"):
        benchmarks.read_frozen("no-such-data")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("nothere", "there is no such data; expected one of synthetic-val, clips"),
        ("set", "it has the folder val with samples; give {0}/set/val"),
        ("set/val/val", "the samples are in {0}/set/val, which is one level higher"),
    ],
)
def test_which_data_is_meant_is_told(data, says, tmp_path):
    (tmp_path / "set").mkdir()
    write_folder(tmp_path / "set" / "val", SAMPLES[:1])
    with pytest.raises(ValueError, match=says.format(tmp_path)):
        evaluate.open_benchmark(evaluate.Options(data=str(tmp_path / data)), Console(quiet=True))


def test_pictures_show_both_sides_and_no_image_twice():
    scores = scored(lambda sample: kept(truth_as_guess(sample), np.arange(len(sample.labels))[:1]))
    losses = image_losses(scores)
    assert (
        losses[3] == pytest.approx(2 / 3, abs=1e-3) and losses[1] == pytest.approx(0, abs=1e-3) and np.isnan(losses[0])
    )
    names = chosen(scores, 2)
    assert set(names) == {f"{kind}_{place}" for kind in ("worst", "best", "any") for place in (1, 2)}
    assert len(set(names.values())) == 6 and names["worst_1"] in (3, 7)
    picture = side_by_side(SAMPLES[3], BODY, kept(truth_as_guess(SAMPLES[3]), np.arange(0)), BODY, [])
    assert picture.shape == (120, 324, 3)
    left, right = picture[:80, :160].astype(int), picture[:80, 164:].astype(int)
    assert np.array_equal(right, SAMPLES[3].image[:80]) and (np.abs(left - right).max(axis=2) > 20).any()


def test_people_found_wear_the_colour_of_who_they_are():
    scores = scored(lambda sample: kept(truth_as_guess(sample), np.arange(len(sample.labels))[::-1]))
    assert ids_of(scores, 3, 3, 3) == [3, 2, 1] and ids_of(scores, 0, 0, 0) == []
    scores.guess[scores.facts.image == 3] = (2, -1, 0)
    assert ids_of(scores, 3, 3, 3) == [3, 5, 1]


def test_people_of_another_body_are_compared_by_their_joints(tmp_path):
    write_smplx(tmp_path)
    other = create_body("smplx", tmp_path)
    sample, info = SAMPLES[1], other.info
    rotvecs = np.zeros((1, len(info.posed_joints), 3), np.float32)
    rotvecs[0, 0, 0] = np.pi  # SMPL-X's y is up
    guess = truth_as_guess(
        sample,
        rotvecs=rotvecs,
        shape=np.zeros((1, len(info.shape_names)), np.float32),
        expression=np.zeros((1, len(info.expression_names)), np.float32),
    )
    scores = score([sample], {NETWORK: lambda _: guess}, {NETWORK: other}, BODY)[0]
    assert scores.found.all() and np.isfinite(scores.errors.mpjpe_m).all() and scores.errors.pa_mpjpe_m[0] > 0.01
    assert np.isnan(scores.errors.pve_m).all()  # other vertices
    lacking = SimpleNamespace(keypoint_names=info.keypoint_names[1:], name="no_pelvis")
    assert places(lacking) == [place - 1 for place in places(info)]
    with pytest.raises(ValueError, match="the body no_head has no keypoints head"):
        places(SimpleNamespace(keypoint_names=[n for n in info.keypoint_names if n != "head"], name="no_head"))


def test_page_and_json(specification):
    names = (NETWORK, "mean pose", "constant depth")
    known = averages()
    predictors = dict(zip(names, (truth_as_guess, MeanPose(known, BODY), ConstantDepth(known))))
    scores = score(SAMPLES, predictors, dict.fromkeys(names, BODY), BODY)
    result = Result.of(scores, "tiny", "eight images", ["A note."], {"weights": "tiny"}, {"cpu": "a fast one"})
    text = page(result)
    assert text.startswith("# tiny\n") and "| PA-MPJPE, mean | mm |" in text and "Measured on: cpu a fast one." in text
    assert "| recall | % | 100 | 100 to 100 | told | told |" in text
    assert not [line for line in text.splitlines() if line.startswith("| MPJPE") and "told" in line]
    assert "A note." in text and "## By distance [m]" in text and "*mean pose* is told" in text
    values = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert values["figures"][NETWORK][0] == {"name": "precision", "unit": "%", "value": 100, "low": 100, "high": 100}
    assert values["figures"]["mean pose"][-1]["value"] is None  # nobody measured its time


def write_folder(folder: Path, samples) -> None:
    folder.mkdir()
    manifest = Manifest("set", len(samples), 100, {}, "test")
    manifest.begin(folder)
    write_shard(folder / manifest.shards()[0][0], samples, image_format="png")


def test_verb_on_a_folder_of_shards(tmp_path, capsys):
    write_folder(tmp_path / "data", SAMPLES[:4])
    arguments = ["evaluate", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    arguments += ["--weights", "untrained"]
    more = ["--pictures", "1", "--report", str(tmp_path / "report")]
    assert cli.main([*arguments, *more]) == 0
    told = capsys.readouterr().out
    assert "untrained" in told and "PA-MPJPE" in told
    values = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert values["people"] == 6 and values["run"]["untrained"] and list(values["figures"]) == [NETWORK]
    assert values["figures"][NETWORK][-1]["value"] > 0.0  # it took time
    assert (tmp_path / "report" / "data.md").read_text() == (tmp_path / "out" / "figures.md").read_text()
    assert {path.name.split("_")[0] for path in (tmp_path / "out" / "pictures").iterdir()} == {"worst", "best", "any"}
    parts = list((tmp_path / "out" / "predictions").glob("part-*"))
    assert cli.main(arguments) == 0  # nothing is predicted again
    assert list((tmp_path / "out" / "predictions").glob("part-*")) == parts
    assert cli.main([*arguments, "--detection-threshold", "0.9"]) == 2
    assert "detection_threshold: 0.3 there, 0.9 now" in capsys.readouterr().err


def test_verb_on_the_frozen_benchmark(specification, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "read_frozen", lambda name: specification)
    monkeypatch.setattr(evaluate, "generate", lambda seeds, scene, body, workers: synthesize(seeds, scene, body))
    folders = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert cli.main(["evaluate", *folders, "--limit", "4", "--device", "cpu"]) == 0
    values = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert list(values["figures"]) == [NETWORK, "mean pose", "constant depth", "box size"]
    assert values["people"] == 2 + 3 + 0 + 1 and "4 of 4 images have the very pixels" in " ".join(values["notes"])


def test_several_processes_make_the_same_samples():
    scene = {"split": "val", "longer_side": 64}
    alone, shared = (list(generate([5, 3], scene, "anny", workers)) for workers in (1, 2))
    assert [sample.key for sample in alone] == ["val-00000005", "val-00000003"]
    for one, other in zip(alone, shared, strict=True):
        assert one.key == other.key and np.array_equal(one.image, other.image) and one.dense is None
        assert Truth.of(one) == Truth.of(other) and len(one.labels)
    with pytest.raises(ValueError, match=r"unexpected keyword argument 'fog'.*this version of the package has others"):
        list(generate([1], {"fog": 1.0}, "anny", 1))


def test_freeze_writes_what_the_verb_reads(tmp_path, monkeypatch):
    asked = []

    def generate(seeds, scene, body, workers):
        asked.append((scene["split"], list(seeds)))
        return map(sample_of, seeds)

    monkeypatch.setattr(freezing, "generate", generate)
    options = ["--count", "5", "--averages", "6", "--first-seed", "3", "--out", str(tmp_path / "frozen.json")]
    assert cli.main(["evaluate", "freeze", *options]) == 0
    frozen = read_specification(tmp_path / "frozen.json")
    assert list(frozen.seeds) == [3, 4, 5, 6, 7] and frozen.averages.people == 0 + 1 + 2 + 3 + 0 + 1
    assert sorted(asked) == [("train", list(range(6))), ("val", [3, 4, 5, 6, 7])]
    assert cli.main(["evaluate", "freeze", *options]) == 2  # never silently
    with pytest.raises(ValueError, match="is frozen"):
        freezing.main(freezing.Options(count=5, averages=6, out=str(tmp_path / "frozen.json")))
    assert freezing.make(freezing.Options(count=1, averages=2), Console(quiet=True)).scene["split"] == "val"
