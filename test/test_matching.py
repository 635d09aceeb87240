"""Matching: greedy by distance in the image, people who count first."""

import numpy as np

from ros2_multihmr.evaluation.matching import box_iou, boxes, greedy, match, mean_px_distance


def person(x, y, size=20.0):
    """Keypoints at the corners and the middle of a square."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
    return np.array([x, y]) + size * corners


def people(*places):
    return np.array([person(x, y) for x, y in places]).reshape(-1, 5, 2)


def everybody(px):
    return np.ones(len(px), bool)


def test_greedy_takes_the_nearest_pair_first():
    """Row 0 is nearest to column 1, although that leaves a worse sum than the best assignment."""
    distance = np.array([[2.0, 1.0], [9.0, 3.0]])
    rows, columns = greedy(distance, np.ones((2, 2), bool))
    assert list(zip(rows, columns)) == [(0, 1), (1, 0)]
    rows, columns = greedy(distance, np.array([[True, False], [True, True]]))
    assert list(zip(rows, columns)) == [(0, 0), (1, 1)]


def test_greedy_never_takes_what_is_infinitely_far():
    rows, columns = greedy(np.array([[np.inf, 1.0], [np.inf, 2.0]]), np.ones((2, 2), bool))
    assert rows.tolist() == [0] and columns.tolist() == [1]


def test_equal_distances_go_to_the_better_score():
    rows, _ = greedy(np.zeros((3, 1)), np.ones((3, 1), bool))
    assert rows.tolist() == [0]


def test_boxes_and_their_overlap_by_hand():
    px = np.array([[[0, 0], [2, 4], [np.nan, np.nan]], [[np.nan] * 2] * 3])
    box = boxes(px)
    assert box[0].tolist() == [0, 0, 2, 4] and box[1, 0] == np.inf and box[1, 2] == -np.inf
    other = np.array([[1.0, 0, 3, 4], [5, 5, 6, 6], [0, 0, 2, 4], [1, 1, 1, 3]])
    assert np.allclose(box_iou(box, other), [[4 / 12, 0, 1, 0], [0, 0, 0, 0]])


def test_distance_is_a_mean_over_common_keypoints():
    first = np.array([[[0.0, 0], [10, 0], [np.nan, np.nan]]])
    second = np.array([[[3.0, 4], [10, 1], [5, 5]], [[np.nan] * 2] * 2 + [[0, 0]]])
    assert mean_px_distance(first, second).tolist() == [[3.0, np.inf]]


def test_everybody_found_in_any_order():
    truth = people((0, 0), (50, 0), (100, 0))
    order = [2, 0, 1]
    found = match(truth[order] + 1.0, truth, everybody(truth))
    assert found.truth.tolist() == [0, 1, 2] and found.guess.tolist() == [1, 2, 0]
    assert not len(found.missed) and not len(found.false) and not len(found.ignored)


def test_missed_false_and_doubles():
    truth = people((0, 0), (200, 0))
    guesses = people((2, 0), (1, 0), (500, 500))
    found = match(guesses, truth, everybody(truth))
    assert found.guess.tolist() == [1] and found.truth.tolist() == [0]
    assert found.missed.tolist() == [1] and found.false.tolist() == [0, 2]


def test_boxes_must_overlap_however_near():
    truth = people((0, 0))
    assert match(people((21, 0)), truth, everybody(truth)).missed.tolist() == [0]
    overlap = (20 - 18) / (20 + 18)  # in one direction; just over 5 % of the union
    assert overlap > 0.05 and match(people((18, 0)), truth, everybody(truth)).truth.tolist() == [0]


def test_who_does_not_count_is_neither_missed_nor_false():
    truth = people((0, 0), (100, 0))
    counts = np.array([True, False])
    found = match(people((0, 0), (101, 0), (300, 0)), truth, counts)
    assert found.truth.tolist() == [0] and found.ignored.tolist() == [1] and found.false.tolist() == [2]
    assert not len(match(truth[:1], truth, counts).missed)


def test_who_counts_goes_first():
    """A guess nearer to somebody hidden is still the person before whom nobody else was found."""
    truth = people((0, 0), (6, 0))
    found = match(people((5, 0)), truth, np.array([True, False]))
    assert found.truth.tolist() == [0] and not len(found.ignored)
    both = match(people((5, 0), (0, 0)), truth, np.array([True, False]))
    assert both.guess.tolist() == [1] and both.ignored.tolist() == [0]


def test_nobody_on_either_side():
    nobody, one = people(), people((0, 0))
    assert match(nobody, one, everybody(one)).missed.tolist() == [0]
    assert match(one, nobody, everybody(nobody)).false.tolist() == [0]
    assert all(len(part) == 0 for part in match(nobody, nobody, everybody(nobody)))
