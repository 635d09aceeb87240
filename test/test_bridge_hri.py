"""REP-155: ids, regions, skeletons and joint angles of bodies, and topics that come and go with people."""

from __future__ import annotations

import numpy as np
import pytest
from bridge_packages import provide_messages
from geometry_msgs.msg import PointStamped, TwistStamped
from ros_fakes import FakeBackend, Person
from ros_graph import HEIGHT, WIDTH, anny
from sensor_msgs.msg import Image, JointState

from ros2_multihmr.camera import Camera
from ros2_multihmr.estimator import Estimator
from ros2_multihmr.estimator_config import EstimatorConfig
from ros2_multihmr.ros.bridges.hri_joints import JointAngles
from ros2_multihmr.ros.bridges.hri_picture import Skeleton, cropped, region
from ros2_multihmr.ros.parameters import NodeConfig
from ros2_multihmr.rotations import rotvec_to_rotmat

HRI = ("-p", "bridges:=[hri]")
NAMES = anny().info.keypoint_names


@pytest.fixture(scope="module", autouse=True)
def messages():
    provide_messages()


def somebody(depth=4.0, size=200):
    estimator = Estimator(FakeBackend(anny().info, [Person(depth=depth)]), anny(), EstimatorConfig())
    camera = Camera.from_fov(size, size, 60.0)
    return estimator.estimate(np.zeros((size, size, 3), np.uint8), camera), camera


# ---- the picture


def test_skeleton_points_are_those_that_the_message_names():
    from hri_msgs.msg import Skeleton2D

    humans, camera = somebody()
    points = Skeleton(NAMES).points(humans, 0, camera)
    assert points.shape == (18, 3)
    places = {name: getattr(Skeleton2D, name) for name in Skeleton2D.__class__.__prepare__("", ()) if name.isupper()}
    places = {name: place for name, place in places.items() if isinstance(place, int)}
    assert sorted(places.values()) == list(range(18))
    pixels = dict(zip(NAMES, humans.keypoints_2d[0]))
    pixels["neck"] = (pixels["left_shoulder"] + pixels["right_shoulder"]) / 2
    for name, place in places.items():
        np.testing.assert_allclose(points[place, :2] * 200 - 0.5, pixels[name.lower()], atol=1e-3)
        assert points[place, 2] == pytest.approx(humans.scores[0])


def test_points_outside_the_picture_or_behind_the_camera_are_in_range_and_not_trusted():
    humans, camera = somebody(depth=0.6)  # feet are below the picture
    points = Skeleton(NAMES).points(humans, 0, camera)
    assert ((points >= 0) & (points <= 1)).all() and (points[:, 2] > 0).any() and (points[:, 2] == 0).any()
    humans.keypoints_2d[0] = np.nan
    humans.keypoint_scores[0] = 0
    assert not Skeleton(NAMES).points(humans, 0, camera).any()


@pytest.mark.parametrize(
    "bbox, expected",
    [
        ((9.5, 19.5, 49.5, 39.5), (0.1, 0.2, 0.5, 0.4)),
        ((-50.0, -0.5, 49.5, 500.0), (0.0, 0.0, 0.5, 1.0)),
        ((120.0, 10.0, 130.0, 20.0), None),
    ],
)
def test_a_region_is_the_part_that_is_in_the_picture(bbox, expected):
    humans, _ = somebody()
    humans.bbox[0] = bbox
    corners = region(humans, 0, Camera.from_fov(100, 100, 60.0))
    if expected is None:
        assert corners is None
        return
    np.testing.assert_allclose(corners, expected)
    image = np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3)
    left, top, right, bottom = (round(100 * value) for value in expected)
    np.testing.assert_array_equal(cropped(image, corners), image[top:bottom, left:right])


# ---- joint angles, against the human model of the package human_description: axes and order are its own

X, Y, Z = np.eye(3)
DOWN = -Z
SIN_10 = np.sin(np.radians(10.0))  # a knee that is bent by less has an axis between its own and the pelvis's


def turned(axis, angle):
    return rotvec_to_rotmat(np.asarray(axis) * angle)


def directions(angles):
    """Where the model's limbs, trunk and face point in the body's frame."""
    torso = turned(Y, angles["waist"])
    head = torso @ turned(X, angles["r_head"]) @ turned(Z, angles["y_head"]) @ turned(-Y, angles["p_head"])
    found = {"trunk": torso @ Z, "left ear": head @ Y}
    for letter, side, sign in (("l", "left", 1), ("r", "right", -1)):
        arm = (
            torso @ turned(-sign * Z, angles[f"{letter}_y_shoulder"]) @ turned(sign * X, angles[f"{letter}_p_shoulder"])
        )
        arm = arm @ turned(sign * Z, angles[f"{letter}_r_shoulder"])
        leg = turned(-Z, angles[f"{letter}_y_hip"]) @ turned(sign * X, angles[f"{letter}_p_hip"])
        leg = leg @ turned(-Y, angles[f"{letter}_r_hip"])
        found[f"{side} elbow"], found[f"{side} knee"] = arm @ DOWN, leg @ DOWN
        found[f"{side} wrist"] = arm @ turned(-Y, angles[f"{letter}_elbow"]) @ DOWN
        found[f"{side} ankle"] = leg @ turned(-Y, angles[f"{letter}_knee"]) @ DOWN
    return found


def keypoints_of(limbs, rotation, rng):
    """Keypoints of a person in the camera's frame whose limbs point into these directions."""
    points = {name: np.zeros(3) for name in NAMES}
    points |= {"left_hip": 0.1 * Y, "right_hip": -0.1 * Y}
    points |= {f"{side}_shoulder": 0.5 * limbs["trunk"] + sign * 0.2 * Y for side, sign in (("left", 1), ("right", -1))}
    left, forward = limbs["left ear"], np.cross(limbs["left ear"], limbs["crown"])
    points |= {"left_ear": left * 0.08, "right_ear": left * -0.08}
    points |= {f"{side}_eye": 0.1 * forward + sign * 0.03 * left for side, sign in (("left", 1), ("right", -1))}
    for side in ("left", "right"):
        for names in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            for before, name in zip(names, names[1:]):
                points[f"{side}_{name}"] = points[f"{side}_{before}"] + rng.uniform(0.2, 0.5) * limbs[f"{side} {name}"]
    return np.array([points[name] for name in NAMES]) @ rotation.T + rng.normal(size=3)


@pytest.mark.parametrize("seed", range(20))
def test_the_models_limbs_point_where_the_persons_do(seed):
    rng = np.random.default_rng(seed)
    rotation = rotvec_to_rotmat(rng.normal(size=3))
    limbs = {
        f"{side} {name}": vector / np.linalg.norm(vector)
        for side in ("left", "right")
        for name, vector in zip(("elbow", "wrist", "knee", "ankle"), rng.normal(size=(4, 3)))
    }
    waist = rng.uniform(-0.5, 1.0)
    limbs["trunk"] = np.array([np.sin(waist), 0, np.cos(waist)])
    head = rotvec_to_rotmat(0.5 * rng.normal(size=3))
    limbs["left ear"], limbs["crown"] = head @ Y, head @ Z
    angles = JointAngles(NAMES)(keypoints_of(limbs, rotation, rng), rotation)
    assert angles["waist"] == pytest.approx(waist)
    for name, direction in directions(angles).items():
        side = name.split()[0]
        straight = name.endswith("ankle") and np.linalg.norm(np.cross(limbs[f"{side} knee"], limbs[name])) < SIN_10
        np.testing.assert_allclose(direction, limbs[name], atol=SIN_10 if straight else 1e-6, err_msg=name)
    assert all(-np.pi <= angles[f"{side}_knee"] <= 0 <= angles[f"{side}_elbow"] for side in "lr")


def test_who_stands_upright_has_straight_joints():
    humans, _ = somebody()
    angles = JointAngles(NAMES)(humans.keypoints_3d[0], humans.rotation[0])
    assert len(angles) == 20
    for name in ("waist", "r_head", "y_head", "l_y_hip", "r_y_hip", "l_r_hip", "r_r_hip", "l_knee", "r_knee"):
        assert abs(angles[name]) < 0.3, name
    for name in ("p_shoulder", "y_shoulder", "elbow", "p_hip", "r_hip", "knee"):
        assert angles[f"l_{name}"] == pytest.approx(angles[f"r_{name}"], abs=1e-3), name


# ---- in the node


def listen(g, kind, topic):
    received = []
    g.other.create_subscription(kind, topic, received.append, 50)
    g.until(lambda: g.node.count_subscribers(topic))
    return received


def test_bodies_come_go_and_are_described(graph):
    from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D

    args = (*HRI, "-p", "track_predict_s:=2.5", "-p", "track_confirm_images:=1")
    g = graph(people=2, args=args).start("humans", "tf")
    ids = listen(g, IdsList, "/humans/bodies/tracked")
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    g.send(data=pixels.tobytes())
    g.until(lambda: ids)
    assert ids[0].ids == ["b1", "b2"]
    kinds = {
        "roi": NormalizedRegionOfInterest2D, "cropped": Image, "skeleton2d": Skeleton2D, "joint_states": JointState,
        "position": PointStamped, "velocity": TwistStamped,
    }  # fmt: skip
    told = {topic: listen(g, kind, f"/humans/bodies/b1/{topic}") for topic, kind in kinds.items()}
    image = g.send(data=pixels.tobytes())
    g.until(lambda: all(told.values()) and len(g.received["tf"]) == 2)
    (human,) = (h for h in g.last("humans", 2).humans if h.track_id == 1)
    assert all(messages[0].header == image.header for messages in told.values())
    assert told["position"][0].point == human.pose.pose.position
    assert told["velocity"][0].twist == human.twist.twist
    assert all(name.endswith("_b1") for name in told["joint_states"][0].name)
    roi, crop = told["roi"][0], told["cropped"][0]
    top, left = int(roi.ymin * HEIGHT), int(roi.xmin * WIDTH)
    shown = np.frombuffer(crop.data, np.uint8).reshape(crop.height, crop.width, 3)
    np.testing.assert_array_equal(shown, pixels[top : top + crop.height, left : left + crop.width])
    # A frame per body, the node's own, and each once an image.
    for message in g.received["tf"]:
        assert sorted(t.child_frame_id for t in message.transforms) == ["body_b1", "body_b2"]

    g.backend.people = g.backend.people[1:]  # the first is hidden: told of, but not of her picture
    before = {topic: len(messages) for topic, messages in told.items()}
    g.send(data=pixels.tobytes())
    g.until(lambda: len(told["position"]) > before["position"])
    assert ids[-1].ids == ["b2", "b1"]
    assert len(told["roi"]) == before["roi"] and len(told["skeleton2d"]) == before["skeleton2d"]
    for _ in range(4):
        g.send(data=pixels.tobytes())
    g.until(lambda: ids[-1].ids == ["b2"])
    g.until(lambda: not g.other.count_publishers("/humans/bodies/b1/position"))

    assert g.node.trigger_deactivate().name == "SUCCESS"
    g.until(lambda: ids[-1].ids == [] and not g.other.count_publishers("/humans/bodies/b2/roi"))
    assert g.node.trigger_activate().name == "SUCCESS"
    g.until(lambda: g.images.get_subscription_count() and g.infos.get_subscription_count())
    g.send()
    g.until(lambda: ids[-1].ids == ["b1"])
    assert g.node.trigger_deactivate().name == "SUCCESS" and g.node.trigger_cleanup().name == "SUCCESS"


def test_only_what_somebody_wants_of_a_body_is_built(graph, monkeypatch):
    from hri_msgs.msg import IdsList

    from ros2_multihmr.ros.bridges.hri import BodyMessages

    built, build = [], BodyMessages.build
    monkeypatch.setattr(
        BodyMessages, "build", lambda self, topic, *rest: built.append(topic) or build(self, topic, *rest)
    )
    g = graph(people=2, args=HRI).start()
    ids = listen(g, IdsList, "/humans/bodies/tracked")
    g.send()
    g.until(lambda: ids)
    assert built == []
    positions = listen(g, PointStamped, "/humans/bodies/b2/position")
    g.send()
    g.until(lambda: positions)
    assert built == ["position"]


def test_nobody_is_an_empty_list(graph):
    from hri_msgs.msg import IdsList

    g = graph(people=0, args=HRI).start()
    ids = listen(g, IdsList, "/humans/bodies/tracked")
    image = g.send()
    g.until(lambda: ids)
    assert ids[0].header == image.header and ids[0].ids == []


# ---- names


@pytest.mark.parametrize("prefix", ["", "7", "_a", "a/b", "a__b", "ä"])
def test_an_id_that_no_topic_can_be_named_after_is_refused(prefix):
    with pytest.raises(ValueError, match="hri_id_prefix: expected a letter"):
        NodeConfig(hri_id_prefix=prefix)


def test_a_frame_that_rep_155_does_not_know_is_refused():
    with pytest.raises(ValueError, match="frame_prefix: .*hri_id_prefix"):
        NodeConfig(bridges=("hri",), frame_prefix="left_")
    assert NodeConfig(frame_prefix="left_").id_prefix == "" and NodeConfig(bridges=("hri",)).id_prefix == "b"
