"""The node in its graph: what comes out, for whom, and how it is sent."""

import array
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_fakes import Person
from ros_graph import BEST_EFFORT, HEIGHT, LATCHED, MANY_RELIABLE, TOPICS, WIDTH, anny
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image
from sensor_msgs_py import point_cloud2
from visualization_msgs.msg import Marker

from ros2_multihmr.estimator import Estimator
from ros2_multihmr.ros.camera_node import CameraConfig

IMAGE_TOPICS = ("humans", "markers", "overlay", "overlay_compressed", "vertices", "tf")


def state(graph):
    return graph.node._state_machine.current_state[1]


# ---- what comes out


def test_every_message_carries_the_images_header(graph):
    g = graph().start(*IMAGE_TOPICS)
    image = g.image()
    image.header.frame_id, image.header.stamp = (
        "front/camera_optical_frame",
        Time(sec=1_700_000_000, nanosec=123_456_789),
    )
    g.send(image)
    for key in ("humans", "overlay", "overlay_compressed", "vertices"):
        assert g.last(key).header == image.header
    assert {marker.header == image.header for marker in g.last("markers").markers} == {True}
    transforms = g.last("tf").transforms
    assert [(t.header == image.header, t.child_frame_id) for t in transforms] == [(True, "body_1"), (True, "body_2")]


def test_people_and_their_camera(graph):
    g = graph(people=2).start("humans")
    g.send()
    message = g.last("humans")
    assert [human.track_id for human in message.humans] == [1, 2]
    assert [round(human.score, 2) for human in message.humans] == [0.9, 0.85]
    assert (message.image_width, message.image_height, message.calibrated, message.rectified) == (
        WIDTH,
        HEIGHT,
        True,
        False,
    )
    assert message.k[0] == 60.0 and message.body_model == anny().info.name and message.weights == "fake"
    # The head is 4 m away, and everyone stands upright before a level camera.
    assert message.humans[0].pose.pose.position.z == pytest.approx(4.0, abs=0.3)


def test_nobody_is_published_too(graph):
    g = graph(people=0).start("humans", "markers", "overlay", "vertices")
    g.send()
    assert len(g.last("humans").humans) == 0
    assert len(g.last("markers").markers) == 0
    assert g.last("vertices").width == 0
    assert g.last("overlay").width == WIDTH


def test_the_bodys_description_waits_for_late_subscribers(graph):
    g = graph().start("humans")
    g.send()
    g.listen("body_model", LATCHED)
    info = g.last("body_model")
    assert info.name == g.last("humans").body_model
    assert len(info.faces) == 3 * len(anny().info.faces)


def test_fields_give_the_vertices(graph):
    """What messages.md promises: the body model's own forward, fed with the fields, returns `vertices`."""
    g = graph(people=2, args=("-p", "publish_vertices:=true")).start("humans", "body_model")
    tilt = Rotation.from_euler("xyz", [0.2, 0.5, -0.3]).as_matrix().astype(np.float32)
    g.backend.people[1] = Person(rotation=tilt @ Person().rotation, depth=5.0)
    g.send()
    info = g.last("body_model")
    for human in g.last("humans").humans:
        vectors = {0: human.global_orient}
        for field in ("body", "left_hand", "right_hand", "jaw", "eye"):
            joints = getattr(info, f"{field}_joints")
            vectors.update(zip(joints, np.reshape(getattr(human, f"{field}_pose"), (-1, 3))))
        rotvecs = np.array([vectors[joint] for joint in anny().info.posed_joints])
        posed = anny()(
            torch.from_numpy(Rotation.from_rotvec(rotvecs).as_matrix()).float()[None],
            torch.tensor([human.betas.tolist()]),
            torch.tensor([human.expression.tolist()]),
            torch.zeros(1, 3),
            vertices=True,
        )
        moved = posed.vertices[0].numpy() - posed.translation[0].numpy() + human.translation
        np.testing.assert_allclose(np.reshape(human.vertices, (-1, 3)), moved, atol=1e-4)


def test_point_cloud_holds_everyones_vertices(graph):
    g = graph(people=2, args=("-p", "publish_vertices:=true")).start("humans", "vertices")
    g.send()
    points = point_cloud2.read_points(g.last("vertices"))
    for i, human in enumerate(g.last("humans").humans):
        own = points[points["id"] == human.track_id]
        np.testing.assert_array_equal(np.stack([own[axis] for axis in "xyz"], axis=-1).ravel(), human.vertices)
        assert len(own) == anny().info.num_vertices, i


@pytest.mark.parametrize("lod, faces", [("reduced", len(anny().info.faces_lod)), ("full", len(anny().info.faces))])
def test_markers_show_mesh_skeleton_and_label(graph, lod, faces):
    g = graph(people=2, args=("-p", f"mesh_lod:={lod}")).start("markers")
    g.send()
    markers = g.last("markers").markers
    assert [(m.ns, m.id) for m in markers] == [(ns, i) for ns in ("mesh", "skeleton", "label") for i in (1, 2)]
    assert {len(m.points) for m in markers if m.ns == "mesh"} == {3 * faces}


def test_who_leaves_is_deleted_and_at_the_end_everything_is(graph):
    g = graph(people=2).start("markers")
    g.send()
    g.backend.people.pop()
    image = g.send()
    gone = [(m.ns, m.id) for m in g.last("markers", 2).markers if m.action == Marker.DELETE]
    assert sorted(gone) == [("label", 2), ("mesh", 2), ("skeleton", 2)]
    g.node.trigger_deactivate()
    (last,) = g.last("markers", 3).markers
    assert last.action == Marker.DELETEALL and last.header == image.header


def test_markers_keep_their_rate_by_image_stamps(graph):
    g = graph(people=1, args=("-p", "markers_rate_hz:=10.0")).start("humans", "markers")
    for i in range(31):
        image = g.image()
        image.header.stamp = Time(sec=500 + i // 30, nanosec=(i % 30) * 33_333_333)
        g.send(image)
    g.last("humans", 31)
    stamps = [m.markers[0].header.stamp for m in g.received["markers"]]
    assert 10 <= len(stamps) <= 11
    gaps = np.diff([stamp.sec + stamp.nanosec * 1e-9 for stamp in stamps])
    assert gaps.min() > 0.09


def test_overlay_says_that_the_weights_are_untrained(graph):
    pictures = []
    for untrained in (False, True):
        g = graph(people=0, untrained=untrained).start("overlay", "humans")
        g.send()
        pictures.append(np.array(g.last("overlay").data))
        assert g.last("humans").untrained is untrained
    assert not pictures[0].any(), "nobody on a black picture leaves it black"
    assert pictures[1].any(), "the note is missing"


def test_compressed_overlay_is_the_overlay(graph):
    g = graph(people=1).start("overlay", "overlay_compressed")
    g.send()
    picture = np.reshape(g.last("overlay").data, (HEIGHT, WIDTH, 3)).astype(int)
    decoded = cv2.imdecode(np.frombuffer(g.last("overlay_compressed").data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - picture).mean() < 6


def test_never_the_same_stamp_twice_on_tf(graph):
    g = graph().start("humans", "tf")
    image = g.send()
    g.send(image)
    g.send()
    g.last("humans", 3)
    g.settle()
    stamps = [message.transforms[0].header.stamp.sec for message in g.received["tf"]]
    assert stamps == [101, 102]


def test_a_prefix_tells_cameras_apart(graph):
    g = graph(people=1, args=("-p", "frame_prefix:=left_")).start("tf")
    g.send()
    assert g.last("tf").transforms[0].child_frame_id == "left_body_1"


# ---- nothing for nobody


def test_without_subscribers_the_network_rests(graph):
    g = graph().start()
    g.send()
    assert g.backend.calls == 0 and g.fates()["NOBODY_LISTENS"] == 1


@pytest.mark.parametrize("demand, calls", [("true", 1), ("false", 0)])
def test_tf_listeners_are_demand_if_asked_to(graph, demand, calls):
    g = graph(args=("-p", f"tf_is_demand:={demand}")).start("tf")
    g.send()
    assert g.backend.calls == calls
    assert g.fates()["NOBODY_LISTENS"] == 1 - calls


def test_without_tf_there_are_no_frames(graph):
    g = graph(args=("-p", "publish_tf:=false")).start("humans", "tf")
    g.send()
    g.last("humans")
    g.settle()
    assert g.received["tf"] == []


class CountingBody:
    """The body, and whether full meshes were asked for."""

    def __init__(self):
        self.full = []

    info = property(lambda self: anny().info)

    def to(self, device):
        return self

    def __call__(self, *args, vertices=False):
        self.full.append(vertices)
        return anny()(*args, vertices=vertices)


@pytest.mark.parametrize(
    "topics, args, full",
    [
        (("humans", "markers", "overlay"), (), False),
        (("humans", "vertices"), (), True),
        (("humans",), ("publish_vertices:=true",), True),
        (("tf",), ("publish_vertices:=true",), False),
        (("markers",), ("mesh_lod:=full",), True),
        (("humans",), ("mesh_lod:=full",), False),
    ],
)
def test_full_meshes_are_computed_only_where_wanted(graph, topics, args, full):
    body = CountingBody()
    g = graph(
        create=lambda config: Estimator(g.backend, body, config), args=tuple(x for arg in args for x in ("-p", arg))
    )
    g.start(*topics).send()
    assert body.full == [full]


# ---- topics, transports, quality of service


def test_compressed_images(graph):
    g = graph(people=0, args=("-p", "image_transport:=compressed")).start(
        "humans", "overlay", image="/image/compressed", kind=CompressedImage
    )
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 2] = 200
    image = CompressedImage(header=g.image().header, format="png", data=cv2.imencode(".png", picture)[1].tobytes())
    g.send(image)
    assert g.last("humans").header == image.header
    np.testing.assert_array_equal(np.reshape(g.last("overlay").data, (HEIGHT, WIDTH, 3)), picture[..., ::-1])


@pytest.mark.parametrize(
    "topic, rectified, fx", [("/cam/image_rect_color", True, 50.0), ("/cam/image_raw", False, 60.0)]
)
def test_the_topics_name_says_whether_the_image_is_rectified(graph, topic, rectified, fx):
    g = graph(args=("-r", f"image:={topic}")).start("humans", image=topic)
    g.send()
    message = g.last("humans")
    assert (message.rectified, message.k[0]) == (rectified, fx)


def test_rectify_always_publishes_in_the_rectified_image(graph):
    g = graph(people=0, args=("-p", "rectify:=always")).start("humans", "overlay")
    white = array.array("B", bytes([255]) * (HEIGHT * WIDTH * 3))
    g.send(data=white)
    message = g.last("humans")
    assert (message.rectified, message.k[0], message.k[2]) == (True, 50.0, 30.0)
    # The rectified camera sees more than the raw one: its overlay has black borders.
    assert not np.reshape(g.last("overlay").data, (HEIGHT, WIDTH, 3))[0, 0].any()


def test_a_reliable_camera_is_heard(graph):
    g = graph().start("humans", qos=MANY_RELIABLE)
    g.send()
    g.last("humans")


def test_an_incompatible_publisher_is_told_in_log_and_diagnostics(graph, capfd):
    reliable = "qos_overrides./image.subscription.reliability:=reliable"
    g = graph(args=("-p", reliable, "-p", "diagnostics_period_s:=0.1"))
    assert g.node.trigger_configure().name == g.node.trigger_activate().name == "SUCCESS"
    g.listen("diagnostics")
    g.other.create_publisher(Image, "/image", BEST_EFFORT)
    g.until(lambda: "incompatible quality of service on /image" in g.diagnostics()[1])
    assert "RELIABILITY" in g.diagnostics()[1]
    assert capfd.readouterr().err.count("incompatible quality of service on /image") == 1


def test_an_incompatible_subscriber_is_told_in_log_and_diagnostics(graph):
    g = graph(args=("-p", "diagnostics_period_s:=0.1")).start("diagnostics")
    g.listen("markers", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    g.until(lambda: "incompatible quality of service on /multihmr/markers" in g.diagnostics()[1])


def test_a_quality_of_service_that_does_not_exist_fails_activate(graph, capfd):
    g = graph(args=("-p", "qos_overrides./image.subscription.reliability:=very"))
    assert g.node.trigger_configure().name == "SUCCESS"
    assert g.node.trigger_activate().name == "FAILURE" and state(g) == "inactive"
    assert "cannot activate" in capfd.readouterr().err


def test_quality_of_service_of_the_outputs(graph):
    g = graph().start("humans")
    for key, (topic, _, _) in TOPICS.items():
        (info,) = g.other.get_publishers_info_by_topic(topic)
        best_effort = key in ("markers", "path_lines", "capsule_markers", "overlay", "overlay_compressed", "vertices")
        assert (info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT) == best_effort, topic
        assert (info.qos_profile.durability.name == "TRANSIENT_LOCAL") == (key == "body_model"), topic


def test_rvizs_displays_fit_the_topics(graph):
    config = yaml.safe_load((Path(__file__).resolve().parents[1] / "config" / "multihmr.rviz").read_text())
    manager = config["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == CameraConfig().frame_id
    g = graph().start("humans")
    shown = {d["Topic"]["Value"]: d for d in manager["Displays"] if "Topic" in d}
    assert shown.pop("/camera/image_raw")["Topic"]["Reliability Policy"] == "Best Effort"
    kinds = {"MarkerArray": "markers", "Image": "overlay", "PointCloud2": "vertices"}
    assert {display["Class"].rpartition("/")[2] for display in shown.values()} == set(kinds)
    for topic, display in shown.items():
        (info,) = g.other.get_publishers_info_by_topic(topic)
        assert info.topic_type.rpartition("/")[2] == display["Class"].rpartition("/")[2]
        assert kinds[display["Class"].rpartition("/")[2]] in topic
        assert display["Topic"]["Reliability Policy"] == "Best Effort"
