"""What training sees: labels stay exact whatever augments the image; batches are their samples, padded."""

from __future__ import annotations

import dataclasses
import functools
import pickle

import numpy as np
import pytest
import torch
from synthetic_samples import FRONT, HEIGHT, WIDTH, made_up_labels, made_up_sample

from ros2_multihmr.body import create_body
from ros2_multihmr.body.body_model import BodyInfo
from ros2_multihmr.body.parts import PARTS
from ros2_multihmr.body.skinned_body import BodyData, SkinnedBody
from ros2_multihmr.camera import Camera
from ros2_multihmr.preprocess import network_view, preprocess
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import ARRAYS, Dense, Labels, Sample
from ros2_multihmr.samples.shards import write_shard
from ros2_multihmr.training.augment import Augment, AugmentConfig, Window, crop, draw_window, erase, resize
from ros2_multihmr.training.batches import Batch, collate
from ros2_multihmr.training.datasets import MixedDataset, ShardDataset, SyntheticDataset
from ros2_multihmr.training.loader import LoaderConfig, Share, batches
from ros2_multihmr.training.mirror import Mirror, mirrored_camera
from ros2_multihmr.training.pixels import recolor

SIZE = 112


@pytest.fixture(scope="module")
def body():
    return create_body("anny")


@pytest.fixture(scope="module")
def samples(body) -> list[Sample]:
    return [made_up_sample(body, seed, people) for seed, people in enumerate((2, 0, 3, 1))]


def forward(body, labels: Labels):
    arrays = (labels.rotmats, labels.shape, labels.expression, labels.center)
    return body(*map(torch.from_numpy, arrays))


# Mirror


class _Coefficients(torch.nn.Module):
    def forward(self, shape, expression):
        return torch.cat([torch.ones_like(shape[:, :1]), shape, expression], 1).expand(3, -1, -1)


def symmetric_body(info: BodyInfo) -> SkinnedBody:
    """Anny's names and tree, made-up numbers that are their own mirror image."""
    rng, mirror = np.random.default_rng(0), Mirror(info)
    across = np.array([-1.0, 1.0, 1.0])
    shapes = np.concatenate([[0], 1 + np.arange(len(info.shape_names)), 1 + len(info.shape_names) + mirror._expression])
    points = len(info.keypoint_names) - len(info.joint_names)
    order = np.array(mirror._keypoints[len(info.joint_names) :]) - len(info.joint_names)

    def symmetric(count: int, places: np.ndarray) -> np.ndarray:
        scale = np.concatenate([[0.5], np.full(len(shapes) - 1, 0.02)])
        some = rng.normal(0, 1, (len(shapes), count, 3)) * scale[:, None, None]
        return ((some + some[shapes][:, places] * across) / 2).astype(np.float32)

    joint_order = np.array(mirror._keypoints[: len(info.joint_names)])
    weights = rng.dirichlet(np.ones(len(info.joint_names)) * 0.1, points)
    weights = (weights + weights[order][:, joint_order]) / 2
    data = BodyData(
        joint_shapes=symmetric(len(info.joint_names), joint_order),
        vertex_shapes=symmetric(points, order),
        weights=weights.astype(np.float32),
        skin_keypoints=np.arange(points)[:, None],
        skin_keypoint_weights=np.ones((points, 1), np.float32),
        moves_resting_root=False,
    )
    small = dataclasses.replace(
        info,
        vertices_lod=np.arange(points, dtype=np.uint32),
        faces_lod=np.zeros((0, 3), np.uint32),
        faces=np.zeros((0, 3), np.uint32),
        num_vertices=points,
    )
    return SkinnedBody(small, data, _Coefficients())


def test_mirrored_parameters_give_the_mirrored_person(body):
    symmetric, mirror = symmetric_body(body.info), Mirror(body.info)
    labels = made_up_labels(symmetric, np.random.default_rng(1), 5, Camera.from_fov(WIDTH, HEIGHT, 70.0))
    mirrored = mirror.labels(labels)
    assert np.abs(forward(symmetric, labels).keypoints.numpy() - labels.keypoints).max() == 0
    np.testing.assert_allclose(forward(symmetric, mirrored).keypoints.numpy(), mirrored.keypoints, atol=1e-5)
    assert np.abs(mirrored.keypoints - labels.keypoints).max() > 0.1


def test_anny_is_its_mirror_image_but_for_its_own_asymmetry(body):
    labels = made_up_labels(body, np.random.default_rng(2), 4, Camera.from_fov(WIDTH, HEIGHT, 70.0))
    mirrored = Mirror(body.info).labels(labels)
    # MakeHuman's skeleton is symmetric to a fraction of a millimetre.
    np.testing.assert_allclose(forward(body, mirrored).keypoints.numpy(), mirrored.keypoints, atol=5e-4)


def test_smplx_names_have_their_other_sides(tmp_path):
    from synthetic_smplx import write_smplx

    write_smplx(tmp_path, components=20)
    info = create_body("smplx", tmp_path).info
    mirror = Mirror(info)
    names = np.array(info.keypoint_names)
    sided = [name.replace("left", "@").replace("right", "left").replace("@", "right") for name in names]
    assert [str(name) for name in names[mirror._keypoints]] == sided
    np.testing.assert_array_equal(mirror._body, np.diag([-1, 1, 1]))


def test_mirror_twice_is_nothing(body, samples):
    mirror = Mirror(body.info)
    for sample in samples:
        again = mirror.sample(mirror.sample(sample))
        assert again.camera.k == pytest.approx(sample.camera.k)
        np.testing.assert_array_equal(again.image, sample.image)
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(again.labels, name), getattr(sample.labels, name), atol=1e-6)
        for name, field in vars(sample.dense).items():
            np.testing.assert_array_equal(getattr(again.dense, name), field)


def test_mirror_exchanges_sides_of_faces_and_parts(body):
    mirror = Mirror(body.info)
    names = body.info.expression_names
    labels = made_up_labels(body, np.random.default_rng(3), 1, Camera.from_fov(WIDTH, HEIGHT, 70.0))
    mirrored = mirror.labels(labels)
    left, right = names.index("mouthSmileLeft"), names.index("mouthSmileRight")
    assert mirrored.expression[0, right] == labels.expression[0, left] != mirrored.expression[0, left]
    assert mirrored.expression[0, names.index("jawOpen")] == labels.expression[0, names.index("jawOpen")]
    part = np.zeros((2, 2), np.uint8)
    part[0, 0] = PARTS.index("left_hand") + 1
    flipped = mirror.dense(Dense(np.minimum(part, 1), part, part.astype(np.float16)))
    assert flipped.part.tolist() == [[0, PARTS.index("right_hand") + 1], [0, 0]]


def test_mirror_refuses_what_it_cannot(body):
    with pytest.raises(ValueError, match="rectify it first"):
        mirrored_camera(Camera(np.diag([50.0, 50, 1]), 8, 8, "plumb_bob", (0.1, 0, 0, 0, 0)))
    with pytest.raises(ValueError, match="about their bones"):
        Mirror(create_body("anny_official").info)
    with pytest.raises(ValueError, match="needs its other side"):
        Mirror(dataclasses.replace(body.info, keypoint_names=("left_knee",)))


# Geometry: a dot drawn where a keypoint is stays on the keypoint


def dotted(body, seed: int) -> tuple[Sample, int]:
    """A black image with a bright dot at a keypoint inside of it, at its exact place between pixels."""
    sample = made_up_sample(body, seed, 1)
    camera = Camera.from_fov(4 * WIDTH, 4 * HEIGHT, 70.0)
    which = body.info.keypoint_names.index("left_wrist")
    px = np.random.default_rng(seed).uniform((160, 120), (240, 180), (1, 2))
    place = camera.unproject(px, [3.0])[0] - sample.labels.keypoints[0, which]
    moved = {name: (getattr(sample.labels, name) + place).astype(np.float32) for name in ("center", "keypoints")}
    sample = dataclasses.replace(sample, labels=dataclasses.replace(sample.labels, **moved))
    rows, columns = np.mgrid[: camera.height, : camera.width]
    bump = np.exp(-((columns - px[0, 0]) ** 2 + (rows - px[0, 1]) ** 2) / (2 * 3.0**2))
    image = np.repeat((250 * bump).round().astype(np.uint8)[..., None], 3, axis=2)
    return dataclasses.replace(sample, image=image, camera=camera, dense=None), which


def dot_of(sample: Sample) -> np.ndarray:
    weight = sample.image[..., 0].astype(float)
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def geometric(body, kind: str, sample: Sample, which: int) -> tuple[Sample, int]:
    mirror = Mirror(body.info)
    if kind == "flip":
        return mirror.sample(sample), int(np.flatnonzero(mirror._keypoints == which)[0])
    if kind == "crop":
        return crop(sample, Window(37, 21, 300, 250)), which
    if kind == "margin":
        return crop(sample, Window(-53, -18, 500, 380)), which
    if kind == "resize":
        return resize(sample, 301, 177), which
    everything = AugmentConfig(flip=0, color=0, gray=0, blur=0, noise=0, jpeg=0, erase=0, zoom=1, coarse=1, zoom_in=1.4)
    return Augment(everything, mirror)(sample, np.random.default_rng(3)), which


@pytest.mark.parametrize("kind", ["none", "flip", "crop", "margin", "resize", "all"])
@pytest.mark.parametrize("seed", [10, 11])
def test_projections_follow_the_picture(body, kind, seed):
    sample, which = dotted(body, seed)
    if kind != "none":
        sample, which = geometric(body, kind, sample, which)
    np.testing.assert_allclose(dot_of(sample), sample.camera.project(sample.labels.keypoints[0, which]), atol=0.1)
    batch = collate([sample], 224, 1)
    bright = dataclasses.replace(sample, image=batch.pixels[0].permute(1, 2, 0).numpy() - batch.pixels.min().item())
    # The network's pixels begin with their corner: centres lie at halves.
    np.testing.assert_allclose(dot_of(bright) + 0.5, batch.keypoints_px[0, 0, which], atol=0.15)


def test_truth_per_pixel_follows_the_picture(body):
    sample = made_up_sample(body, 20, 2)
    marked = dataclasses.replace(sample, image=np.repeat(60 * sample.dense.instance[..., None], 3, axis=2))
    mirror = Mirror(body.info)
    for changed in (mirror.sample(marked), crop(marked, Window(-9, 5, 70, 80))):
        np.testing.assert_array_equal(changed.image[..., 0], 60 * changed.dense.instance)
        assert changed.image.shape[:2] == (changed.camera.height, changed.camera.width)
    small = resize(marked, WIDTH // 2 + 3, HEIGHT // 2)
    assert np.abs(small.image[..., 0].astype(int) - 60 * small.dense.instance).mean() < 6


def test_crop_and_box_say_what_is_still_seen(body):
    sample = made_up_sample(body, 21, 1)
    labels, instance = sample.labels, sample.dense.instance
    columns = np.flatnonzero((instance == 1).any(axis=0))
    middle = int(columns.mean())
    half = crop(sample, Window(0, 0, middle, HEIGHT))
    share = (instance[:, :middle] == 1).sum() / (instance == 1).sum()
    assert half.labels.visibility[0] == pytest.approx(share) and 0 < share < 1
    px = sample.camera.project(labels.keypoints[0])
    expected = labels.keypoint_visible[0] * (px[:, 0] < middle - 0.5)
    np.testing.assert_array_equal(half.labels.keypoint_visible[0], expected)
    hidden = erase(sample, Window(middle, 0, WIDTH - middle, HEIGHT), np.random.default_rng(0))
    np.testing.assert_array_equal(hidden.labels.keypoint_visible, half.labels.keypoint_visible)
    assert hidden.labels.visibility[0] == pytest.approx(share)
    assert not hidden.dense.instance[:, middle:].any() and not hidden.dense.depth[:, middle:].any()
    assert len(crop(sample, Window(-500, -500, 20, 20)).labels) == 1
    assert crop(sample, Window(-500, -500, 20, 20)).labels.visibility[0] == 0


def test_margin_shows_no_more_keypoints(body):
    sample = made_up_sample(body, 22, 3)
    wide = crop(sample, Window(-100, -100, WIDTH + 200, HEIGHT + 200))
    np.testing.assert_array_equal(wide.labels.keypoint_visible, sample.labels.keypoint_visible)
    np.testing.assert_allclose(wide.labels.visibility, sample.labels.visibility)


def test_smaller_windows_show_a_head(body):
    sample = made_up_sample(body, 23, 2)
    heads = sample.camera.project(sample.labels.center)
    assert sample.camera.contains(heads).any()
    for seed in range(100):
        window = draw_window(sample, AugmentConfig(zoom_in=4.0, zoom_out=1.0), np.random.default_rng(seed))
        camera = sample.camera.crop(window.x, window.y, window.width, window.height)
        assert camera.contains(heads - (window.x, window.y)).any()


# Augment


def test_augment_repeats_itself_and_leaves_its_input(body, samples):
    augment = Augment(AugmentConfig(), Mirror(body.info))
    for sample in samples:
        before = sample.image.copy()
        for seed in range(12):
            first, second = (augment(sample, np.random.default_rng(seed)) for _ in range(2))
            np.testing.assert_array_equal(first.image, second.image)
            assert first.camera == second.camera
            first.labels.check(body.info)
            assert first.image.dtype == np.uint8 and first.dense.part.shape == first.image.shape[:2]
            assert first.image.shape == (first.camera.height, first.camera.width, 3)
        np.testing.assert_array_equal(before, sample.image)


def test_augment_turned_off_changes_nothing(body, samples):
    off = AugmentConfig(flip=0, zoom=0, coarse=0, color=0, gray=0, blur=0, noise=0, jpeg=0, erase=0)
    same = Augment(off, Mirror(body.info))(samples[0], np.random.default_rng(0))
    np.testing.assert_array_equal(same.image, samples[0].image)
    assert same.camera == samples[0].camera and same.labels == samples[0].labels
    with pytest.raises(ValueError, match="at most 1"):
        AugmentConfig(flip=1.5)


def test_recolor_means_what_it_says():
    image = np.random.default_rng(0).integers(60, 120, (8, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(recolor(image, 1.0, 1.0, 1.0, hue_deg=0.0), image)
    gray = recolor(image, 1.0, 1.0, 0.0, hue_deg=0.0).astype(int)
    assert np.ptp(gray, axis=2).max() == 0
    np.testing.assert_allclose(recolor(image, 1.5, 1.0, 1.0, hue_deg=0.0), image * 1.5, atol=0.51)
    flat = recolor(image, 1.0, 0.0, 1.0, hue_deg=0.0)
    assert np.ptp(flat) == 0 and flat[0, 0, 0] == pytest.approx(image.mean(axis=(0, 1)) @ [0.299, 0.587, 0.114], abs=1)
    red = np.full((1, 1, 3), (200, 0, 0), np.uint8)
    np.testing.assert_allclose(recolor(red, 1.0, 1.0, 1.0, hue_deg=120.0)[0, 0], (0, 200, 0), atol=1)


# Batches


def test_batch_is_its_samples(samples):
    together = collate(samples, SIZE, 3)
    for i, sample in enumerate(samples):
        alone = collate([sample], SIZE, 3)
        for field in dataclasses.fields(Batch):
            here, there = getattr(together, field.name), getattr(alone, field.name)
            if isinstance(here, torch.Tensor):
                assert torch.equal(here[i], there[0]), field.name
        for name, here in vars(together.dense).items():
            assert torch.equal(here[i], getattr(alone.dense, name)[0])


def test_batch_shows_the_networks_view(samples):
    sample = samples[0]
    batch = collate([sample], SIZE, 3)
    wanted = preprocess([sample.image], [sample.camera], SIZE)
    assert torch.equal(batch.pixels, wanted.pixels) and torch.equal(batch.k, wanted.k)
    rays = batch.keypoints[0, :2] @ batch.k[0].T
    torch.testing.assert_close(rays[..., :2] / rays[..., 2:], batch.keypoints_px[0, :2], atol=1e-3, rtol=0)


def test_nearest_people_come_first_unseen_ones_last_and_places_are_padded(body, samples):
    labels = samples[2].labels
    labels = dataclasses.replace(labels, visibility=np.array([1, 0, 1], np.float32))
    labels = dataclasses.replace(labels, center=np.array([[0, 0, 5], [0, 0, 1], [0, 0, 3]], np.float32))
    sample = dataclasses.replace(samples[2], labels=labels)
    assert collate([sample], SIZE, 3).center[0, :, 2].tolist() == [3, 5, 1]
    assert collate([sample], SIZE, 2).center[0, :, 2].tolist() == [3, 5]
    batch = collate([sample, samples[1]], SIZE, 5)
    assert batch.people.tolist() == [[True] * 3 + [False] * 2, [False] * 5]
    assert torch.equal(batch.rotmats[1], torch.eye(3).expand_as(batch.rotmats[1]))
    assert torch.equal(batch.center[0, 3], torch.tensor([0.0, 0, 1]))
    flat = [getattr(batch, name)[:, 3:].flatten(0, 1) for name in ("rotmats", "shape", "expression", "center")]
    assert body(*flat).keypoints.isfinite().all()


def test_keypoints_behind_the_camera_are_finite(body, samples):
    labels = dataclasses.replace(samples[0].labels, keypoints=-samples[0].labels.keypoints)
    batch = collate([dataclasses.replace(samples[0], labels=labels)], SIZE, 3)
    assert torch.equal(batch.keypoints_px, torch.zeros_like(batch.keypoints_px))


def test_dense_cells_say_share_majority_median_and_margin():
    height, width, side = 28, 56, 8  # two pixels of the network per pixel, a margin of 28 above and below
    instance, part = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    depth = np.full((height, width), 9, np.float16)
    instance[:7, :7], part[:7, :5], part[:7, 5:7], depth[:7, :7] = 1, 4, 9, 2  # four cells of 3.5 pixels
    depth[:, 42:] = 0
    body = create_body("anny")
    camera = Camera.from_fov(width, height, 60.0)
    image = np.zeros((height, width, 3), np.uint8)
    sample = Sample("a", image, camera, Labels.empty("anny", body.info), Dense(instance, part, depth))
    dense = collate([sample], 112, 1).dense
    assert dense.mask.shape == (1, 16, 16) and side * 14 == 112
    assert dense.valid[0, :, 0].tolist() == [False] * 4 + [True] * 8 + [False] * 4
    assert dense.mask[0, 4:7, :3].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert dense.parts[0, 4:7, :3].tolist() == [[4, 9, 0], [4, 9, 0], [0, 0, 0]]
    assert dense.depth[0, 4, [0, 1, 2, 15]].tolist() == [2, 2, 9, 0]
    assert not dense.mask[~dense.valid].any() and not dense.depth[~dense.valid].any()


def test_dense_is_none_or_says_who_has_none(samples):
    without = dataclasses.replace(samples[0], dense=None)
    assert collate([without], SIZE, 3).dense is None
    mixed = collate([without, samples[0]], SIZE, 3).dense
    assert not mixed.valid[0].any() and mixed.valid[1].any() and mixed.mask[1].any()


def test_batches_move(samples):
    batch = collate(samples, SIZE, 3)
    moved = batch.to("meta")
    assert moved.pixels.device.type == moved.dense.mask.device.type == "meta" and moved.keys == batch.keys
    assert len(pickle.loads(pickle.dumps(batch))) == len(samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda samples: ([], SIZE, 3), "at least one sample"),
        (lambda samples: (samples, 100, 3), "multiple of 14"),
        (lambda samples: (samples, SIZE, 0), "at least 1"),
    ],
)
def test_collate_refuses(samples, change, message):
    with pytest.raises(ValueError, match=message):
        collate(*change(samples))


def test_collate_refuses_other_bodies_and_lenses(samples):
    other = dataclasses.replace(samples[0], labels=dataclasses.replace(samples[0].labels, body="smplx"))
    with pytest.raises(ValueError, match="anny, smplx"):
        collate([samples[0], other], SIZE, 3)
    lens = dataclasses.replace(samples[0].camera, distortion_model="plumb_bob", d=(0.1, 0, 0, 0, 0))
    with pytest.raises(ValueError, match="rectify it first"):
        collate([dataclasses.replace(samples[0], camera=lens)], SIZE, 3)


def test_view_of_the_batch_is_the_estimators(samples):
    view = network_view(samples[0].camera, SIZE)
    np.testing.assert_allclose(collate(samples[:1], SIZE, 3).k[0], view.k, rtol=1e-6)


# Data sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("shards")
    Manifest("train", 4, 3, {}, "1.0").begin(folder)
    write_shard(folder / "train-000000.tar", samples[:3])
    write_shard(folder / "train-000001.tar", samples[3:])
    return folder


def test_folders_follow_each_other(folder, samples):
    dataset = ShardDataset([folder, folder])
    assert [dataset[i].key for i in range(len(dataset))] == 2 * [sample.key for sample in samples]
    for index in (-1, 8):
        with pytest.raises(IndexError, match="from 0 to 7"):
            dataset[index]
    with pytest.raises(ValueError, match="at least one folder"):
        ShardDataset([])


def numbered(seed: int, *, name: str = "x") -> str:
    return f"{name}{seed}"


def test_synthetic_samples_are_their_seeds():
    dataset = SyntheticDataset(functools.partial(numbered, name="y"), 7, 3)
    assert [dataset[i] for i in range(len(dataset))] == ["y7", "y8", "y9"]
    with pytest.raises(IndexError):
        dataset[3]


def test_mixed_samples_have_their_shares_and_all_come():
    few, many = SyntheticDataset(numbered, 0, 3), SyntheticDataset(functools.partial(numbered, name="z"), 0, 30)
    mixed = MixedDataset([few, many], [0.25, 0.75])
    items = [mixed[i] for i in range(len(mixed))]
    assert len(items) == 40 and sum(item.startswith("x") for item in items) == 10 and len(set(items)) == 33
    assert len(MixedDataset([few, many])) == 33
    with pytest.raises(ValueError, match="one positive share"):
        MixedDataset([few, many], [1.0, 0.0])
    with pytest.raises(ValueError, match="of them empty"):
        MixedDataset([[]])


def test_workers_ranks_and_restarts_see_the_same_stream(folder, body):
    augment = Augment(AugmentConfig(), Mirror(body.info))

    def stream(start: int, steps: int, workers: int, rank: int, ranks: int) -> list[torch.Tensor]:
        config = LoaderConfig(batch_size=2, image_size=SIZE, max_people=3, workers=workers, seed=5)
        dataset = ShardDataset([folder])
        loaded = batches(dataset, config, augment=augment, first_step=start, share=Share(rank, ranks))
        return [next(loaded).pixels for _ in range(steps)]

    alone = torch.stack(stream(0, 5, 0, 0, 1))
    assert torch.equal(alone[3:], torch.stack(stream(3, 2, 2, 0, 1)))
    ranks = [torch.stack(stream(0, 5, 0, rank, 2)) for rank in range(2)]
    assert torch.equal(alone, torch.cat(ranks, dim=1))
    assert not torch.equal(alone[:2], alone[2:4])  # the second pass is another


def test_one_pass_has_each_sample_once_among_the_ranks(folder, samples):
    def keys(rank: int, ranks: int, **changes) -> list[str]:
        config = LoaderConfig(batch_size=2, image_size=SIZE, max_people=3, workers=0, **changes)
        mixed = MixedDataset([ShardDataset([folder]), ShardDataset([folder])])
        loaded = batches(mixed, config, epochs=1, share=Share(rank, ranks))
        return [key for batch in loaded for key in batch.keys]

    wanted = 2 * [sample.key for sample in samples]
    assert keys(0, 1, shuffle=False) == wanted
    assert sorted(keys(0, 1)) == sorted(wanted) != keys(0, 1)
    assert sorted(keys(0, 2) + keys(1, 2)) == sorted(wanted)


def test_last_batch_is_smaller_and_shares_must_be_even(folder):
    config = LoaderConfig(batch_size=3, image_size=SIZE, max_people=3, workers=0)
    assert [len(batch) for batch in batches(ShardDataset([folder]), config, epochs=1)] == [3, 1]
    by_rank = [list(batches(ShardDataset([folder]), config, epochs=1, share=Share(rank, 3))) for rank in range(3)]
    assert [[len(batch) for batch in part] for part in by_rank] == [[1, 1], [1], [1]]
    with pytest.raises(ValueError, match="multiple of the number of ranks"):
        batches(ShardDataset([folder]), config, share=Share(0, 2))
    with pytest.raises(ValueError, match="expected samples"):
        batches([], config)


def test_loading_leaves_the_global_random_numbers_alone(folder):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(batches(ShardDataset([folder]), LoaderConfig(batch_size=2, image_size=SIZE, workers=0)))
    assert torch.equal(before, torch.get_rng_state())


def test_made_up_people_face_the_camera():
    assert np.linalg.det(FRONT) == pytest.approx(1.0)
