"""Actors: natural postures within limits, feet on the floor, the same by seed, and dressed from separate closets."""

from __future__ import annotations

import numpy as np
import pytest

from ros2_multihmr.body import create_body
from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.body.skinned_body import SkinnedBody
from ros2_multihmr.rotations import rotmat_to_rotvec
from ros2_multihmr.synthesis.actors import Actor, PlacedActor, dress, place, sample_actor, with_gait
from ros2_multihmr.synthesis.angles import ANGLES, LIMITS, PLACE, mirrored, posture, within_limits
from ros2_multihmr.synthesis.faces import sample_face
from ros2_multihmr.synthesis.figure import figure_of
from ros2_multihmr.synthesis.gait import Gait, walking
from ros2_multihmr.synthesis.hands import SHAPES, sample_hands
from ros2_multihmr.synthesis.poses import FAMILIES, sample_pose
from ros2_multihmr.synthesis.rig import rig_of
from ros2_multihmr.synthesis.wardrobe import DESIGNS, sample_outfit

ORIGIN = np.zeros(2)


@pytest.fixture(scope="module")
def body() -> SkinnedBody:
    return create_body("anny")


def actor(body: SkinnedBody, *seed: int, family: str = "") -> Actor:
    return sample_actor(np.random.default_rng(seed), body, split="train", family=family)


def in_posture(body: SkinnedBody, angles: np.ndarray) -> PlacedActor:
    """An average adult in a posture."""
    person = actor(body, 0)
    shape = np.array([0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5], np.float32)
    rotmats = rig_of(body).rotmats(angles).astype(np.float32)
    return place(Actor(rotmats, shape, 0 * person.expression, person.outfit, angles, "", False), body, 0.0, ORIGIN)


def point(placed: PlacedActor, body: SkinnedBody, name: str) -> np.ndarray:
    return placed.keypoints[body.info.keypoint_names.index(name)]


def direction(placed: PlacedActor, body: SkinnedBody, start: str, end: str) -> np.ndarray:
    along = point(placed, body, end) - point(placed, body, start)
    return along / np.linalg.norm(along)


def test_zero_stands_straight_with_hanging_arms(body: SkinnedBody) -> None:
    placed = in_posture(body, posture({}))
    for side in ("left", "right"):
        for bone in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            start, end = (f"{side}_{name}" for name in bone)
            assert direction(placed, body, start, end) @ (0, 0, -1) > 0.995, (start, end)
        assert direction(placed, body, f"{side}_heel", f"{side}_big_toe") @ (1, 0, 0) > 0.9
    assert direction(placed, body, "right_hip", "left_hip") @ (0, 1, 0) > 0.999


@pytest.mark.parametrize(
    ("angles", "bone", "where"),
    [
        ({"arm_flex": 90}, ("left_shoulder", "left_elbow"), (1, 0, 0)),
        ({"arm_abduct": 90}, ("left_shoulder", "left_elbow"), (0, 1, 0)),
        ({"arm_abduct": 90}, ("right_shoulder", "right_elbow"), (0, -1, 0)),
        ({"elbow": 90}, ("right_elbow", "right_wrist"), (1, 0, 0)),
        ({"elbow": 90, "arm_twist": 90}, ("left_elbow", "left_wrist"), (0, -1, 0)),
        ({"elbow": 90, "arm_twist": 90}, ("right_elbow", "right_wrist"), (0, 1, 0)),
        ({"hip_flex": 90}, ("left_hip", "left_knee"), (1, 0, 0)),
        ({"knee": 90}, ("right_knee", "right_ankle"), (-1, 0, 0)),
        ({"root_turn": 90}, ("right_hip", "left_hip"), (-1, 0, 0)),
        ({"root_pitch": 90}, ("left_knee", "left_hip"), (1, 0, 0)),
        ({"root_roll": 90}, ("left_knee", "left_hip"), (0, -1, 0)),
    ],
)
def test_angles_turn_limbs_as_their_names_say(body: SkinnedBody, angles: dict, bone: tuple, where: tuple) -> None:
    assert direction(in_posture(body, posture(angles)), body, *bone) @ where > 0.99


def test_trunk_and_head_turn_as_their_names_say(body: SkinnedBody) -> None:
    nose = {
        name: direction(in_posture(body, posture({name: 30})), body, "head", "nose") for name in ("look", "nod", "tilt")
    }
    straight = direction(in_posture(body, posture({})), body, "head", "nose")
    assert nose["look"][1] > 0.3
    assert nose["nod"][2] < straight[2] - 0.3
    placed = in_posture(body, posture({"lean": 30}))
    assert direction(placed, body, "pelvis", "neck")[1] < -0.2
    assert direction(in_posture(body, posture({"bend": 40})), body, "pelvis", "neck")[0] > 0.2


def test_fist_brings_finger_tips_to_the_palm(body: SkinnedBody) -> None:
    flat, fist = (in_posture(body, sample_hands(np.random.default_rng(0), (name,))) for name in ("flat", "fist"))
    for side in ("left", "right"):
        for finger in ("index", "middle", "ring", "pinky"):
            reach = [
                np.linalg.norm(point(placed, body, f"{side}_{finger}_tip") - point(placed, body, f"{side}_wrist"))
                for placed in (flat, fist)
            ]
            assert reach[1] < 0.75 * reach[0], (side, finger)


@pytest.mark.parametrize("family", FAMILIES)
def test_joints_keep_to_their_limits(family: str) -> None:
    poses = np.stack([sample_pose(np.random.default_rng(seed), family).angles for seed in range(40)])
    assert (poses >= LIMITS[:, 0]).all()
    assert (poses <= LIMITS[:, 1]).all()
    assert np.ptp(poses, axis=0)[PLACE["left_elbow"]] > 0.05, "no two alike"


def test_mirrored_posture_is_the_posture_in_a_mirror(body: SkinnedBody) -> None:
    angles = within_limits(sample_pose(np.random.default_rng(3), "lunging").angles)
    np.testing.assert_allclose(mirrored(mirrored(angles)), angles)
    one, other = in_posture(body, angles), in_posture(body, mirrored(angles))
    names = body.info.keypoint_names
    swap = {"left": "right", "right": "left"}
    partner = [names.index("_".join([swap.get(n.split("_")[0], n.split("_")[0]), *n.split("_")[1:]])) for n in names]
    np.testing.assert_allclose(other.keypoints[partner] * (1, -1, 1), one.keypoints, atol=5e-3)


def test_either_side_does_it_equally_often() -> None:
    poses = np.stack([sample_pose(np.random.default_rng(seed), "contrapposto").angles for seed in range(200)])
    left_bent = poses[:, PLACE["left_knee"]] > poses[:, PLACE["right_knee"]]
    assert 0.35 < left_bent.mean() < 0.65


@pytest.mark.parametrize("family", FAMILIES)
def test_people_stand_on_the_floor(body: SkinnedBody, family: str) -> None:
    for seed in range(6):
        placed = place(actor(body, seed, family=family), body, 1.0, np.array([2.0, -3.0]))
        lowest = min(surface.vertices[:, 2].min() for surface in dress(placed, body, 0))
        assert abs(lowest) < 0.01
        np.testing.assert_allclose(placed.joints[0, :2], (2.0, -3.0), atol=1e-5)
        np.testing.assert_allclose(placed.joints[body.info.center_joint], placed.center, atol=1e-5)


def test_those_who_stand_have_level_feet_and_those_who_sit_a_seat(body: SkinnedBody) -> None:
    for seed in range(10):
        standing = place(actor(body, seed, family="standing"), body, 0.0, ORIGIN)
        for side in ("left", "right"):
            heel, toe = (point(standing, body, f"{side}_{name}") for name in ("heel", "big_toe"))
            assert abs(heel[2] - toe[2]) < 0.05
        sitting = place(actor(body, seed, family="sitting"), body, 0.0, ORIGIN)
        assert standing.seat_m == 0.0
        assert 0.15 < sitting.seat_m < 0.7
        assert point(sitting, body, "left_ankle")[2] < sitting.seat_m


def test_heading_turns_people_about_the_vertical(body: SkinnedBody) -> None:
    person = actor(body, 5, family="walking")
    ahead, turned = (place(person, body, heading, ORIGIN).keypoints for heading in (0.0, np.pi / 2))
    np.testing.assert_allclose(turned, ahead[:, [1, 0, 2]] * (-1, 1, 1), atol=1e-5)


def test_labels_give_the_mesh(body: SkinnedBody) -> None:
    import torch

    placed = place(actor(body, 6), body, 0.7, np.array([1.0, 2.0]))
    numbers = (placed.rotmats, placed.actor.shape, placed.actor.expression, placed.center)
    again = body(*(torch.from_numpy(part[None]) for part in numbers))
    np.testing.assert_allclose(again.vertices_lod[0], placed.vertices_lod, atol=1e-5)
    np.testing.assert_allclose(
        placed.rotmats @ placed.rotmats.transpose(0, 2, 1), np.eye(3)[None] + 0 * placed.rotmats, atol=1e-5
    )


def test_same_seed_same_person(body: SkinnedBody) -> None:
    one, other, third = (actor(body, seed) for seed in (11, 11, 12))
    for name in ("rotmats", "shape", "expression", "angles"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.outfit == other.outfit
    assert third.outfit != one.outfit
    first, second = (dress(place(person, body, 0.0, ORIGIN), body, 0)[0] for person in (one, other))
    np.testing.assert_array_equal(first.vertices, second.vertices)


def test_every_family_is_drawn_and_close_ups_are_upright() -> None:
    drawn = {sample_pose(np.random.default_rng(seed)).family for seed in range(600)}
    assert drawn == set(FAMILIES)


def test_people_are_of_all_kinds_but_no_babies(body: SkinnedBody) -> None:
    shapes = np.stack([actor(body, seed).shape for seed in range(300)])
    age = shapes[:, 1]
    assert age.min() >= 0.28
    assert 0.03 < (age < 0.6).mean() < 0.3
    assert (age > 0.85).mean() > 0.05
    assert ((shapes >= 0) & (shapes <= 1)).all()


def test_standing_adults_have_statures_of_adults(body: SkinnedBody) -> None:
    people = [actor(body, seed, family="standing") for seed in range(60)]
    heights = [
        np.ptp(place(p, body, 0.0, ORIGIN).vertices_lod[:, 2]) for p in people if p.shape[1] > 0.65 and _arms_down(p)
    ]
    assert len(heights) > 10
    assert min(heights) > 1.4
    assert max(heights) < 2.05
    assert 1.6 < np.mean(heights) < 1.8


def _arms_down(person: Actor) -> bool:
    return all(
        person.angles[PLACE[f"{side}_arm_{turn}"]] < 0.8 for side in ("left", "right") for turn in ("flex", "abduct")
    )


def test_hands_rarely_reach_into_the_trunk(body: SkinnedBody) -> None:
    inside = 0
    for seed in range(60):
        placed = place(actor(body, seed, family="standing"), body, 0.0, ORIGIN)
        hips, chest = point(placed, body, "spine1"), point(placed, body, "spine3")
        for side in ("left", "right"):
            wrist = point(placed, body, f"{side}_wrist")
            along = np.clip((wrist - hips) @ (chest - hips) / ((chest - hips) @ (chest - hips)), 0, 1)
            inside += np.linalg.norm(wrist - hips - along * (chest - hips)) < 0.08
    assert inside <= 4


def test_walking_feet_do_not_skate(body: SkinnedBody) -> None:
    gait = Gait(speed=1.4)
    phases = np.linspace(0.15, 0.45, 7)
    placed = [in_posture(body, walking(phase, gait)) for phase in phases]
    leg = sum(
        np.linalg.norm(point(placed[0], body, f"left_{a}") - point(placed[0], body, f"left_{b}"))
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    )
    way = (phases - phases[0]) / gait.cycles_per_s * gait.speed_m_per_s(leg)
    toes = np.array([point(p, body, "left_big_toe") for p in placed])
    assert np.ptp(toes[:, 0] + way) < 0.03, "the foot that carries stays where it is"
    assert np.ptp(toes[:, 0]) > 0.2


@pytest.mark.parametrize("speed", [0.8, 1.5, 3.5])
def test_gait_is_a_smooth_cycle_within_limits(speed: float) -> None:
    gait = Gait(speed=speed)
    angles = walking(np.linspace(0, 1, 201), gait)
    np.testing.assert_allclose(angles[0], angles[-1], atol=1e-9)
    assert np.abs(np.diff(angles, axis=0)).max() < 0.2, "no jumps"
    np.testing.assert_allclose(angles[37], walking(37 / 200, gait))
    half = mirrored(angles[100:])
    np.testing.assert_allclose(angles[:101], half, atol=1e-9, err_msg="half a cycle later, in the mirror")


def test_walker_keeps_looks_and_hands(body: SkinnedBody) -> None:
    person = actor(body, 3, family="standing")
    walker = with_gait(person, body, 0.3, Gait())
    assert walker.outfit == person.outfit
    assert walker.angles[PLACE["left_index2_curl"]] == person.angles[PLACE["left_index2_curl"]]
    assert np.abs(rotmat_to_rotvec(walker.rotmats[1])).max() > 0


def test_surfaces_are_well_formed(body: SkinnedBody) -> None:
    for seed in range(12):
        for surface in dress(place(actor(body, seed), body, 0.0, ORIGIN), body, 4):
            count = len(surface.faces)
            assert surface.person == 4
            assert surface.material.shape == surface.part.shape == (count,)
            assert 0 <= surface.material.min() <= surface.material.max() < len(surface.materials)
            assert 0 <= surface.faces.min() <= surface.faces.max() < len(surface.vertices)
            assert surface.texture.shape == surface.vertices.shape
            assert surface.vertices.dtype == surface.texture.dtype == np.float32
            assert surface.part.dtype == np.uint8
            assert np.isfinite(surface.vertices).all()
            assert 1 <= surface.part.min() <= surface.part.max() <= len(PARTS)


def test_clothes_lie_on_the_skin_and_cover_what_they_should(body: SkinnedBody) -> None:
    figure = figure_of(body)
    for seed in range(10):
        placed = place(actor(body, seed), body, 0.0, ORIGIN)
        surface = dress(placed, body, 0)[0]
        skin = len(placed.vertices_lod)
        off = np.linalg.norm(surface.vertices[:skin] - placed.vertices_lod, axis=1)
        assert off.max() < 0.06
        assert off.mean() > 0.002
        torso = surface.material[surface.part == PARTS.index("torso") + 1]
        assert (torso > 0).mean() > 0.6, "a shirt"
        assert surface.material.shape[0] > len(figure.faces), "borders are cut"


def test_textures_move_with_the_body(body: SkinnedBody) -> None:
    person = actor(body, 9, family="walking")
    later = with_gait(person, body, 0.6, Gait())
    one, other = (dress(place(p, body, h, ORIGIN), body, 0)[0] for p, h in ((person, 0.0), (later, 1.0)))
    np.testing.assert_array_equal(one.texture, other.texture)
    np.testing.assert_array_equal(one.material, other.material)


def test_train_and_val_wear_different_designs() -> None:
    (low, high), (from_, to) = DESIGNS["train"], DESIGNS["val"]
    assert high <= from_ or to <= low
    seeds = {
        split: {
            material.seed
            for k in range(40)
            for outfit in [sample_outfit(np.random.default_rng(k), split=split, gender=0.0, age=0.67)]
            for garment in outfit.garments
            if garment.kind in ("shirt", "trousers", "jacket", "shoes", "socks")
            for material in [outfit.materials[garment.material]]
        }
        for split in ("train", "val")
    }
    assert all(low <= seed < high for seed in seeds["train"])
    assert all(from_ <= seed < to for seed in seeds["val"])


def test_faces_are_sparse_and_named_actions(body: SkinnedBody) -> None:
    names = body.info.expression_names
    faces = np.stack([sample_face(np.random.default_rng(seed), names) for seed in range(200)])
    assert ((faces >= 0) & (faces <= 1)).all()
    assert (faces == 0).mean() > 0.7
    assert faces[:, names.index("mouthSmileLeft")].max() > 0.4


def test_wrong_names_are_told() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="flying.*known are standing"):
        sample_pose(rng, "flying")
    with pytest.raises(ValueError, match="tail.*known are"):
        posture({"tail": 3.0})
    with pytest.raises(ValueError, match="hoof.*known are"):
        sample_hands(rng, ("hoof",))
    assert set(SHAPES) >= {"fist", "relaxed", "pointing", "pinch"}
    assert len(ANGLES) == len(LIMITS)


def test_body_with_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="x left, y back, z up"):
        rig_of(_Turned())


class _Turned:
    """A body whose axes are not anny's."""

    class info:
        body_axes = np.eye(3)
        name = "turned"


def test_skirts_surround_the_legs_and_look_outwards(body: SkinnedBody) -> None:
    people = (actor(body, seed, family="standing") for seed in range(200))
    wearers = [person for person in people if person.outfit.skirt is not None][:5]
    assert len(wearers) == 5
    for person in wearers:
        placed = place(person, body, 0.5, ORIGIN)
        skirt = dress(placed, body, 1)[1]
        middle = (point(placed, body, "left_hip") + point(placed, body, "right_hip")) / 2
        corners = skirt.vertices[skirt.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        outwards = (corners.mean(1) - middle) * (1, 1, 0)
        assert ((normals * outwards).sum(1) > 0).mean() > 0.95
        assert set(np.unique(skirt.part)) <= {PARTS.index(name) + 1 for name in PARTS if name.endswith(_BELOW_WAIST)}


_BELOW_WAIST = ("hips", "thigh", "shin")
