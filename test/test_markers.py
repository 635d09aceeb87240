"""Markers are byte for byte those of the generated classes, and everyone who leaves is deleted."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from ros_fakes import assert_serializes, header, random_humans, small_body
from visualization_msgs.msg import Marker, MarkerArray

from ros2_multihmr.ros import markers
from ros2_multihmr.ros.plain_messages import plain_markers
from ros2_multihmr.tracking.motion_state import Motion
from ros2_multihmr.tracking.tracks import Tracks, TrackState

BODY = small_body()


def moving(count, speeds=(0.5, 0.0, 1.5), valid=(True, True, False)):
    """How people move: one walks, one stands, and nobody knows about the third."""
    velocity = np.zeros((count, 3))
    velocity[:3] = np.outer(speeds, (0.6, 0.0, 0.8))[:count]
    known = np.ones(count, bool)
    known[:3] = valid[:count]
    return Motion(np.zeros((count, 3)), velocity, np.zeros((count, 6, 6)), known, 0.2)


def naive(head, humans, tracks, full, untrained=False, motion=None):
    """What `MarkerBuilder.update` promises, written as anyone would write it."""
    return plain_markers(head, humans, tracks, motion, full=full, untrained=untrained)


def test_who_is_predicted_is_half_transparent_and_says_so():
    humans, tracks = random_humans(BODY, 3), Tracks.untracked(3)
    tracks.states[:] = TrackState.NEW, TrackState.PREDICTED, TrackState.OK
    data = markers.MarkerBuilder(BODY, untrained=False).update(header(), humans, tracks)
    assert_serializes(data, naive(header(), humans, tracks, False))


@pytest.mark.parametrize("frame_id", ["", "c", "ca", "cam", "camera_optical_frame", "für"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_bytes_are_those_of_the_naive_message(frame_id, full, count):
    humans, tracks = random_humans(BODY, count), Tracks.untracked(count)
    builder = markers.MarkerBuilder(BODY, untrained=False)
    head = header(frame_id)
    assert_serializes(builder.update(head, humans, tracks, full=full), naive(head, humans, tracks, full))


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_who_moves_has_an_arrow_to_where_the_person_is_in_a_second(count):
    humans, tracks, motion = random_humans(BODY, count), Tracks.untracked(count), moving(count)
    tracks.states[:1] = TrackState.PREDICTED
    data = markers.MarkerBuilder(BODY, untrained=False).update(header(), humans, tracks, motion)
    assert_serializes(data, naive(header(), humans, tracks, False, motion=motion))
    arrows = [m for m in deserialize_message(data, MarkerArray).markers if m.ns == "velocity"]
    assert [m.id for m in arrows] == [1][:count]


def test_an_arrow_goes_when_its_person_stands():
    builder, tracks = markers.MarkerBuilder(BODY, untrained=False), Tracks.untracked(3)

    def arrows(motion):
        data = builder.update(header(), random_humans(BODY, 3), tracks, motion)
        found = deserialize_message(data, MarkerArray).markers
        assert [m.action for m in found if m.ns != "velocity"] == [Marker.ADD] * 9
        return [(m.id, m.action) for m in found if m.ns == "velocity"]

    assert arrows(moving(3)) == [(1, Marker.ADD)]
    assert arrows(moving(3, speeds=(0.05, 0.5, 0.5), valid=(True, True, True))) == [
        (2, Marker.ADD), (3, Marker.ADD), (1, Marker.DELETE),
    ]  # fmt: skip
    assert arrows(None) == [(2, Marker.DELETE), (3, Marker.DELETE)]
    assert arrows(None) == []


def test_colours_stay_with_the_id_and_markers_that_nobody_renews_go():
    builder, found = markers.MarkerBuilder(BODY, untrained=False), []
    for second, ids in ((10, (4, 7)), (11, (7, 4)), (21, (7, 9))):
        tracks = Tracks(np.array(ids, np.uint32), np.full(2, TrackState.OK, np.uint8), np.ones(2))
        data = builder.update(header(sec=second), random_humans(BODY, 2), tracks, moving(2, speeds=(1.0, 2.0, 0.0)))
        found.append([m for m in deserialize_message(data, MarkerArray).markers if m.action == Marker.ADD])
    colors = {(m.id, m.color.r, m.color.g, m.color.b) for array in found for m in array if m.ns != "label"}
    assert len(colors) == 3
    assert [{m.lifetime.sec for m in array} for array in found] == [{30}, {3}, {30}]
    assert {m.ns for m in found[0]} == {"mesh", "skeleton", "label", "velocity"}


@pytest.mark.parametrize("faces", [0, 1, 3, 700])
def test_bytes_for_any_number_of_points(faces):
    body = small_body(faces_lod=faces)
    humans = random_humans(body, 3, vertices=False)
    data = markers.MarkerBuilder(body, untrained=False).update(header(), humans, Tracks.untracked(3))
    message = deserialize_message(data, MarkerArray)
    assert [len(marker.points) for marker in message.markers if marker.ns == "mesh"] == [3 * faces] * 3
    assert_serializes(data, message)


def test_untrained_is_said_on_the_label():
    humans, tracks = random_humans(BODY, 1), Tracks.untracked(1)
    data = markers.MarkerBuilder(BODY, untrained=True).update(header(), humans, tracks)
    assert_serializes(data, naive(header(), humans, tracks, False, untrained=True))


def test_who_leaves_is_deleted_once():
    builder = markers.MarkerBuilder(BODY, untrained=False)
    tracks = Tracks.untracked(3)
    builder.update(header(), random_humans(BODY, 3), tracks)
    stays = np.array([False, True, False])
    remaining = Tracks(tracks.ids[stays], tracks.states[stays], tracks.ages_s[stays])
    second = deserialize_message(builder.update(header(), random_humans(BODY, 1), remaining), MarkerArray)
    deleted = [(m.ns, m.id) for m in second.markers if m.action == Marker.DELETE]
    assert sorted(deleted) == sorted((ns, track_id) for ns in ("mesh", "skeleton", "label") for track_id in (1, 3))
    assert [(m.ns, m.id) for m in second.markers if m.action == Marker.ADD] == [
        ("mesh", 2),
        ("skeleton", 2),
        ("label", 2),
    ]
    third = deserialize_message(builder.update(header(), random_humans(BODY, 1), remaining), MarkerArray)
    assert all(m.action == Marker.ADD for m in third.markers)


def test_delete_and_clear_are_those_of_the_naive_message():
    builder = markers.MarkerBuilder(BODY, untrained=False)
    builder.update(header(), random_humans(BODY, 1), Tracks.untracked(1))
    gone = [Marker(header=header("f"), ns=ns, id=1, action=Marker.DELETE) for ns in ("label", "mesh", "skeleton")]
    nobody = builder.update(header("f"), random_humans(BODY, 0), Tracks.untracked(0))
    assert_serializes(nobody, MarkerArray(markers=gone))
    cleared = MarkerArray(markers=[Marker(header=header("abc"), action=Marker.DELETEALL)])
    assert_serializes(builder.clear(header("abc")), cleared)


def test_after_clear_nobody_is_deleted_again():
    builder = markers.MarkerBuilder(BODY, untrained=False)
    builder.update(header(), random_humans(BODY, 2), Tracks.untracked(2))
    builder.clear(header())
    assert_serializes(builder.update(header(), random_humans(BODY, 0), Tracks.untracked(0)), MarkerArray())


def test_skeleton_jumps_over_joints_without_a_rotation():
    # The spine (3) is not posed: the head (4) hangs on the pelvis, the left index (6), too.
    assert markers.skeleton_edges(BODY).tolist() == [[0, 1], [0, 2], [0, 4], [0, 6], [0, 7]]
