"""Tables of second looks: the truth is without error, known differences come out, seeds are joined."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from test_evaluate import BODY, SAMPLES, kept, truth_as_guess

from ros2_multihmr import cli
from ros2_multihmr.estimator import create_estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.evaluation.crop_distances import distance_picture, distance_section, distances_of
from ros2_multihmr.evaluation.crop_errors import compare_people, face_vertices
from ros2_multihmr.evaluation.crop_judge import FIRST, MEASURES, Judge, Row, Run, rows_of
from ros2_multihmr.evaluation.crop_tables import CROPS, FUSION, OTHER, READS, section_of, sections
from ros2_multihmr.evaluation.pictures import humans_of
from ros2_multihmr.model.multi_crop_checkpoint import save_multi_crop
from ros2_multihmr.model.multi_crop_config import MultiCropConfig
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.shards import write_shard
from ros2_multihmr.training.crop_start import start_multi_crop
from ros2_multihmr.verbs import evaluate_refiner
from ros2_multihmr.verbs.evaluate_refiner import label_of

TINY = {
    "crop_height": 28, "crop_width": 28, "width": 32, "depth": 1, "heads": 2, "fusion_width": 32, "num_bands": 4,
    "hidden": 24, "start": "first_pass",
}  # fmt: skip
PVE, HANDS, FACE, ROOT = MEASURES[:4]


def config(**changes) -> MultiCropConfig:
    return MultiCropConfig.for_body("anny", BODY.info, **TINY, **changes)


def moved(sample, by):
    guess = truth_as_guess(sample)
    return dataclasses.replace(guess, center=guess.center + np.float32([0, 0, by]))


def everybody(predictor):
    return {sample.key: predictor(sample) for sample in SAMPLES}


@pytest.fixture(scope="module")
def compared():
    """The first pass puts people 10 cm too far, one seed of a network 4 cm, another one 6 cm."""
    guesses = {FIRST: everybody(lambda sample: moved(sample, 0.1))}
    guesses |= {name: everybody(lambda sample, by=by: moved(sample, by)) for name, by in (("a 0", 0.04), ("a 1", 0.06))}
    guesses["b 0"] = everybody(truth_as_guess)
    return compare_people(SAMPLES, FIRST, guesses, BODY)


RUNS = [
    Run("a", "a 0", config(num_crops=5), 8.0),
    Run("a", "a 1", config(num_crops=5), 10.0),
    Run("b", "b 0", config(num_crops=1, contrastive=False), 2.0),
]


def test_known_errors_come_out_with_their_seeds_deviation(compared):
    judge, (a, b) = Judge(compared), rows_of(RUNS)
    assert len(compared.image) == sum(len(sample.labels) for sample in SAMPLES)
    value, spread = judge.value(a, ROOT)
    assert value == pytest.approx(0.05, abs=1e-4) and spread == pytest.approx(0.01 * 2**0.5, abs=1e-4)
    assert judge.value(b, ROOT)[0] == pytest.approx(0.0, abs=1e-4) and np.isnan(judge.value(b, ROOT)[1])
    assert judge.difference(a, Row(FIRST, ()), ROOT) == pytest.approx((-0.05,) * 3, abs=1e-4)
    for measure in (PVE, FACE):  # of the shape alone
        assert judge.value(a, measure)[0] == pytest.approx(0.0, abs=1e-4)
    assert judge.refined(a) == 0.0 and judge.refined(Row(FIRST, ())) == 0.0


def test_a_turned_hand_is_of_the_hands_and_a_face_of_the_face():
    names = BODY.info.joint_names
    wrist = BODY.info.posed_joints.index(next(i for i, name in enumerate(names) if name.startswith("wrist.L")))

    def handed(sample):
        guess = truth_as_guess(sample)
        rotvecs = guess.rotvecs.copy()
        rotvecs[:, wrist] += 0.5
        return dataclasses.replace(guess, rotvecs=rotvecs)

    def smiling(sample):
        guess = truth_as_guess(sample)
        return dataclasses.replace(guess, expression=np.ones_like(guess.expression))

    guesses = {FIRST: everybody(truth_as_guess), "hand 0": everybody(handed), "face 0": everybody(smiling)}
    compared = compare_people(SAMPLES, FIRST, guesses, BODY)
    judge = Judge(compared)
    hand, face = (Row(name, (Run(name, f"{name} 0", config(), 1.0),)) for name in ("hand", "face"))
    assert judge.value(hand, HANDS)[0] > 0.01 and judge.value(hand, FACE)[0] == pytest.approx(0.0, abs=1e-4)
    assert judge.value(face, FACE)[0] > 0.002 and judge.value(face, HANDS)[0] == pytest.approx(0.0, abs=1e-4)
    assert judge.refined(hand) == 1.0


def test_the_face_is_what_expressions_move():
    face = face_vertices(BODY)
    assert 100 < len(face) < BODY.info.num_vertices / 2


def test_other_people_than_the_first_pass_has_are_refused():
    sample = SAMPLES[3]
    guesses = {FIRST: {sample.key: truth_as_guess(sample)}, "a": {sample.key: kept(truth_as_guess(sample), [0])}}
    with pytest.raises(ValueError, match="a has 1 people, as first found 3"):
        compare_people([sample], FIRST, guesses, BODY)


def test_nobody_found_is_no_error():
    nobody = everybody(lambda sample: kept(truth_as_guess(sample), []))
    guesses = dict.fromkeys((FIRST, "a 0", "a 1", "b 0"), nobody)
    compared = compare_people(SAMPLES, FIRST, guesses, BODY)
    assert not len(compared.image)
    first, network, *_ = sections(compared, RUNS, "title", [])[0].rows
    assert all(cell in ("-", "") for cell in first[4:]) and network[3:-1] == ("-",) * 7


def test_rows_go_where_they_differ_from_the_reference(compared):
    reference = config()
    assert section_of(config(num_crops=9), reference) == CROPS
    assert section_of(config(num_crops=1, contrastive=False), reference) == CROPS
    assert section_of(config(fusion="mean", relative_boxes=False), reference) == FUSION
    assert section_of(config(encoder="roi"), reference) == READS
    assert section_of(config(cameras="derived"), reference) == OTHER == section_of(reference, reference)
    tables = sections(compared, RUNS, "title", ["note"])
    by_crops = next(table for table in tables if table.title == CROPS)
    assert [row[0] for row in by_crops.rows] == ["b", "a"], "one crop is what more crops are compared with"
    assert [row[0] for row in tables[0].rows] == [FIRST, "a", "b"] and tables[0].rows[1][-1] == "9.0"
    assert all(len(row) == len(table.headings) for table in tables for row in table.rows)


@pytest.mark.parametrize(
    ("given", "label", "file"),
    [
        ("", "embedded", ""),
        ("runs/crops5_seed2.safetensors", "crops5", "runs/crops5_seed2.safetensors"),
        ("crops5-s2.safetensors", "crops5", "crops5-s2.safetensors"),
        ("runs/crops3_seed1/weights.safetensors", "crops3", "runs/crops3_seed1/weights.safetensors"),
        ("no camera loss=x/a=b.safetensors", "no camera loss", "x/a=b.safetensors"),
    ],
)
def test_labels(given, label, file):
    assert label_of(given) == (label, file)


@pytest.mark.parametrize("given", ["=a.safetensors", " =a.safetensors", "crops5="])
def test_a_label_and_its_file_are_not_empty(given):
    with pytest.raises(ValueError, match="LABEL=FILE"):
        label_of(given)


def test_distances_tell_people_apart():
    torch.manual_seed(0)
    people = torch.nn.functional.normalize(torch.randn(6, 1, 16) + 0.1 * torch.randn(6, 4, 16), dim=-1)
    apart, alike = distances_of("apart", people), distances_of("alike", people[:1].expand(6, -1, -1))
    assert len(apart.own) == 6 * 6 and len(apart.others) == 15 * 16
    assert apart.closer > 0.99 and alike.closer == pytest.approx(0.5, abs=0.2)
    assert distances_of("one", people[:1]).closer != distances_of("one", people[:1]).closer  # NaN: nobody else
    assert distance_section([apart, alike]).rows[0][0] == "apart"
    picture = np.asarray(distance_picture([apart, alike]))
    assert picture.shape == (300, 480, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


def test_the_verb_makes_tables_and_goes_on(tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    data.mkdir()
    manifest, samples = Manifest("val", 3, 3, {}, "1"), SAMPLES[1:4]
    manifest.begin(data)
    write_shard(data / manifest.shards()[0][0], samples, image_format="png")
    networks, kinds = [], {"five_seed0": {}, "five_seed1": {}, "one_seed0": {"num_crops": 1, "contrastive": False}}
    for label, changes in kinds.items():
        networks.append(str(tmp_path / f"{label}.safetensors"))
        save_multi_crop(start_multi_crop(config(weights=label, **changes), BODY.info, int(label[-1])), networks[-1])
    estimator, calls = create_estimator(EstimatorConfig(weights="untrained", device="cpu")), []
    truth = {sample.image.tobytes(): truth_as_guess(sample) for sample in samples}

    def estimate(image, camera, **_):
        calls.append(1)
        return humans_of(truth[image.tobytes()], BODY, camera)

    estimator.estimate = estimate
    monkeypatch.setattr(evaluate_refiner, "create_estimator", lambda options: estimator)
    arguments = ["evaluate", "refiner", "--data", str(data), "--out", str(tmp_path / "out"), "--weights", "untrained"]
    arguments += ["--report", str(tmp_path / "report"), "--min-px", "1", "--networks", *networks]
    assert cli.main([*arguments, "--distance-people", "3"]) == 0
    result = json.loads((tmp_path / "out/second_looks.json").read_text())
    assert [row["label"] for row in result["rows"]] == [FIRST, "five", "one"]
    assert result["rows"][0]["measures"]["root_m"]["value"] < 1e-3
    assert result["rows"][1]["refined"] > 0.5 and result["rows"][1]["measures"]["root_m"]["value"] > 1e-3
    assert len(result["rows"][1]["networks"]) == 2 and len(result["distances"]) == 2
    page = (tmp_path / "report/second_looks.md").read_text()
    assert CROPS in page and (tmp_path / "report/second_looks_features.png").is_file()
    before = len(calls)
    assert cli.main([*arguments, "--distance-people", "0"]) == 0
    assert len(calls) == before, "nothing is found or refined again"
    assert cli.main([*arguments, "--min-px", "5"]) == 2 and "another run" in capsys.readouterr().err
    assert cli.main([*arguments, networks[0]]) == 2 and "is the same file" in capsys.readouterr().err
