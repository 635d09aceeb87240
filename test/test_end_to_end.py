"""Camera, node and subscriber as three processes: a photograph goes in, people come out, and everything agrees."""

import os
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ros2_multihmr.assets import asset
from ros2_multihmr.ros.bag import read_bag
from ros2_multihmr.ros.processes import RECORDING, ProcessGroup, local_environment, ros_arguments
from ros2_multihmr.ros.run import CAMERA_MODULE, NODE_MODULE, NODE_REMAPS, RECORDER_MODULE

PHOTOGRAPH, FRAME, FOV_DEG = "samples/basketball.jpg", "front_camera", 60.0
DEADLINE_S = 90.0
SHIFT = 4  # bits of a pixel's fraction for OpenCV


@pytest.fixture(scope="module", params=["reduced", "full"])
def received(request, tmp_path_factory):
    """What a subscriber got: one of each message."""
    folder = tmp_path_factory.mktemp("end_to_end") / "bag"
    lines = []
    node = {"weights": "untrained", "autostart": True, "publish_vertices": True, "mesh_lod": request.param}
    camera = {"source": str(asset(PHOTOGRAPH)), "loop": False, "fov_deg": FOV_DEG, "frame_id": FRAME}
    with ProcessGroup(lambda name, line: lines.append(f"{name}: {line}"), local_environment(os.environ)) as group:
        group.start("node", NODE_MODULE, ros_arguments(node, NODE_REMAPS))
        subscriber = group.start("subscriber", RECORDER_MODULE, ros_arguments({"out": str(folder)}))
        assert group.wait_for_line(subscriber, RECORDING, DEADLINE_S, threading.Event()), lines
        sender = group.start("camera", CAMERA_MODULE, ros_arguments(camera | {"wait_for_subscribers": 2}))
        assert sender.wait(DEADLINE_S) == 0, lines
        codes = group.stop()
    assert set(codes.values()) == {0}, (codes, lines)
    bag = {topic.rpartition("/")[2]: [message for _, message in found] for topic, found in read_bag(folder).items()}
    assert {topic: len(bag.get(topic, [])) for topic in ("camera_info", "humans", "body_model", "tf")} == dict.fromkeys(
        ("camera_info", "humans", "body_model", "tf"), 1
    ), lines
    return SimpleNamespace(
        info=bag["camera_info"][0],
        people=bag["humans"][0],
        body=bag["body_model"][0],
        transforms=bag["tf"][0].transforms,
        markers=[marker for array in bag["markers"] for marker in array.markers],
        lod=request.param,
    )


def _meshes(received):
    return {marker.id: marker for marker in received.markers if marker.ns == "mesh" and marker.action == 0}


def test_people_came_through(received):
    humans = received.people.humans
    well_in_view = [h for h in humans if _inside(h.bbox, received.info) and np.ptp(h.bbox[1::2]) > 100.0]
    assert len(well_in_view) >= 2
    assert received.people.untrained and received.people.weights


def _inside(bbox, info):
    return bbox[0] >= 0 and bbox[1] >= 0 and bbox[2] <= info.width - 1 and bbox[3] <= info.height - 1


def test_everything_carries_the_image_s_header(received):
    assert received.info.header.frame_id == FRAME and received.info.header.stamp.sec > 0
    headers = [received.people.header, *(t.header for t in received.transforms)]
    headers += [marker.header for marker in received.markers if marker.action == 0]
    assert len(headers) > 2 and all(header == received.info.header for header in headers)


def test_a_frame_and_a_mesh_per_person(received):
    ids = [human.track_id for human in received.people.humans]
    assert len(set(ids)) == len(ids) >= 2 and sorted(_meshes(received)) == sorted(ids)
    assert sorted(t.child_frame_id for t in received.transforms) == sorted(f"body_{identity}" for identity in ids)


def test_frames_are_the_people_s_poses(received):
    transforms = {t.child_frame_id: t.transform for t in received.transforms}
    for human in received.people.humans:
        pose, transform = human.pose.pose, transforms[f"body_{human.track_id}"]
        assert np.allclose(_xyz(pose.position), _xyz(transform.translation), atol=1e-9)
        assert np.allclose(_quaternion(pose.orientation), _quaternion(transform.rotation), atol=1e-9)
        assert _xyz(pose.position)[2] > 0.1


def test_camera_is_the_one_that_was_published(received):
    people = received.people
    assert (people.image_width, people.image_height) == (received.info.width, received.info.height) == (799, 533)
    assert np.array_equal(people.k, received.info.k) and people.k[0] > 0 and people.calibrated and not people.rectified


def test_body_model_names_what_the_people_hold(received):
    body, human = received.body, received.people.humans[0]
    assert received.people.body_model == body.name and len(human.betas) == len(body.shape_names) > 0
    assert len(human.body_pose) == 3 * len(body.body_joints) > 0
    assert len(human.keypoints_3d) == 3 * len(body.keypoint_names) > 0


def test_markers_cover_the_people_s_silhouettes(received):
    body, k = received.body, np.reshape(received.info.k, (3, 3))
    reduced = received.lod == "reduced"
    faces = np.reshape(body.faces_lod if reduced else body.faces, (-1, 3))
    shape, everyone = (received.info.height, received.info.width), 0
    for human in received.people.humans:
        vertices = np.reshape(human.vertices, (-1, 3))
        surface = vertices[body.vertices_lod] if reduced else vertices
        expected = _silhouette(surface[faces], k, shape)
        shown = _silhouette(_marker_triangles(_meshes(received)[human.track_id]), k, shape)
        assert expected.sum() > 500
        assert (expected & shown).sum() / (expected | shown).sum() > 0.99
        everyone += int(expected.sum())
    assert everyone > 0.02 * shape[0] * shape[1]


def test_bounding_boxes_are_those_of_the_silhouettes(received):
    body, k = received.body, np.reshape(received.info.k, (3, 3))
    faces, shape = np.reshape(body.faces, (-1, 3)), (received.info.height, received.info.width)
    for human in [h for h in received.people.humans if _inside(h.bbox, received.info)]:
        rows, columns = np.nonzero(_silhouette(np.reshape(human.vertices, (-1, 3))[faces], k, shape))
        seen = (columns.min(), rows.min(), columns.max(), rows.max())
        assert np.allclose(seen, human.bbox, atol=3.0)


def _marker_triangles(marker):
    """The triangles of a marker as RViz places them: points, turned and moved by the marker's pose."""
    assert marker.type == 11 and marker.scale.x == marker.scale.y == marker.scale.z == 1.0
    points = np.array([_xyz(point) for point in marker.points])
    return (
        Rotation.from_quat(_quaternion(marker.pose.orientation)).apply(points) + _xyz(marker.pose.position)
    ).reshape(-1, 3, 3)


def _silhouette(triangles, k, shape):
    """Pixels that triangles (F, 3, 3) cover: each is projected and filled by OpenCV, without the package's renderer."""
    mask = np.zeros(shape, np.uint8)
    px = triangles @ k.T
    assert (px[..., 2] > 0).all()
    px = px[..., :2] / px[..., 2:]
    for corners in np.round(px * 2**SHIFT).astype(np.int32):
        cv2.fillConvexPoly(mask, corners, 1, lineType=cv2.LINE_8, shift=SHIFT)
    return mask.astype(bool)


def _xyz(message):
    return np.array([message.x, message.y, message.z])


def _quaternion(message):
    return np.array([message.x, message.y, message.z, message.w])
