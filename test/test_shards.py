"""Samples in tar files: exact, whole or not there, and damaged ones are told by name."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import tarfile

import numpy as np
import pytest
from synthetic_samples import made_up_sample

from ros2_multihmr.body import create_body
from ros2_multihmr.samples.manifest import Manifest
from ros2_multihmr.samples.sample import ARRAYS, Sample
from ros2_multihmr.samples.shards import ShardReader, write_shard


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    body = create_body("anny")
    return [made_up_sample(body, seed, people, dense=people != 1) for seed, people in enumerate((2, 0, 1, 3))]


def assert_same(got: Sample, wanted: Sample, *, image: bool = True) -> None:
    assert (got.key, got.camera, got.labels.body) == (wanted.key, wanted.camera, wanted.labels.body)
    for name in ARRAYS:
        here, there = getattr(got.labels, name), getattr(wanted.labels, name)
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)
    assert (got.dense is None) == (wanted.dense is None)
    for name in () if wanted.dense is None else ("instance", "part", "depth"):
        assert getattr(got.dense, name).dtype == getattr(wanted.dense, name).dtype
        np.testing.assert_array_equal(getattr(got.dense, name), getattr(wanted.dense, name))
    if image:
        np.testing.assert_array_equal(got.image, wanted.image)


def test_png_gives_back_what_went_in(tmp_path, samples):
    assert write_shard(tmp_path / "a.tar", samples, image_format="png") == len(samples)
    reader = ShardReader([tmp_path / "a.tar"])
    assert reader.keys == [sample.key for sample in samples]
    for got, wanted in zip(reader, samples, strict=True):
        assert_same(got, wanted)
    assert_same(reader[2], samples[2])


def test_jpeg_changes_the_picture_alone_and_more_quality_less(tmp_path, samples):
    errors = []
    for quality in (50, 95):
        write_shard(tmp_path / "a.tar", samples, quality=quality)
        got = ShardReader([tmp_path / "a.tar"])[0]
        assert_same(got, samples[0], image=False)
        errors.append(np.abs(got.image.astype(int) - samples[0].image).mean())
    assert 0 < errors[1] < errors[0]


def test_same_samples_same_bytes_and_webdatasets_layout(tmp_path, samples):
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / name, iter(samples))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
    key = samples[0].key
    assert names[:4] == [f"{key}.jpg", f"{key}.json", f"{key}.npz", f"{key}.dense.npz"]


def test_nothing_is_left_of_a_shard_that_failed(tmp_path, samples):
    def failing():
        yield samples[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path / "a.tar", failing())
    assert list(tmp_path.iterdir()) == []


def test_keys_must_be_different_and_plain(tmp_path, samples):
    with pytest.raises(ValueError, match="comes twice"):
        write_shard(tmp_path / "a.tar", [samples[0], samples[0]])
    with pytest.raises(ValueError, match="without dots or slashes"):
        write_shard(tmp_path / "a.tar", [dataclasses.replace(samples[0], key="a.b")])
    with pytest.raises(ValueError, match="one of jpg, png"):
        write_shard(tmp_path / "a.tar", samples, image_format="webp")


def test_shuffled_reads_each_once_and_repeats_itself(tmp_path, samples):
    many = [dataclasses.replace(samples[1], key=f"k{i}") for i in range(20)]
    write_shard(tmp_path / "a.tar", many[:12])
    write_shard(tmp_path / "b.tar", many[12:])
    reader = ShardReader([tmp_path / "a.tar", tmp_path / "b.tar"])

    def order(seed, buffer):
        return [sample.key for sample in reader.shuffled(seed, buffer)]

    assert sorted(order(0, 6)) == sorted(reader.keys) and order(0, 6) == order(0, 6)
    assert order(0, 6) != reader.keys and order(0, 6) != order(1, 6)
    assert order(0, 0) == reader.keys
    assert max(place - reader.keys.index(key) for place, key in enumerate(order(0, 6))) >= 0
    assert all(reader.keys.index(key) - place <= 6 for place, key in enumerate(order(0, 6)))


@pytest.mark.parametrize("cut", [100, 1000, 5000])
def test_a_truncated_file_is_told(tmp_path, samples, cut):
    path = tmp_path / "a.tar"
    write_shard(path, samples)
    with tarfile.open(path) as tar:
        end = max(info.offset_data + info.size for info in tar)
    path.write_bytes(path.read_bytes()[: end - cut])
    with pytest.raises(ValueError, match=r"a\.tar: the tar file is damaged"):
        ShardReader([path])


def test_a_broken_header_and_no_tar_at_all_are_told(tmp_path, samples):
    path = tmp_path / "a.tar"
    write_shard(path, samples)
    with tarfile.open(path) as tar:
        header = tar.getmembers()[5].offset
    raw = bytearray(path.read_bytes())
    raw[header : header + 512] = b"\x55" * 512
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="the tar file is damaged"):
        ShardReader([path])
    for content in (b"", b"no tar file" * 200):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="the tar file is damaged"):
            ShardReader([path])


def rewritten(path, change) -> ShardReader:
    """The shard with its members' contents changed; None takes one away."""
    with tarfile.open(path) as tar:
        members = [(info.name, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            content = change(name, content)
            if content is not None:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return ShardReader([path])


@pytest.mark.parametrize("suffix", ["jpg", "json", "npz", "dense.npz"])
@pytest.mark.parametrize("damage", ["empty", "half", "missing"])
def test_damaged_members_are_told_by_file_and_name(tmp_path, samples, suffix, damage):
    if (suffix, damage) in (("dense.npz", "missing"), ("jpg", "half")):
        return  # truth per pixel may be missing; half a JPEG is a picture to every decoder
    path, name = tmp_path / "a.tar", f"{samples[0].key}.{suffix}"
    write_shard(path, samples)
    contents = {"empty": lambda raw: b"", "half": lambda raw: raw[: len(raw) // 2], "missing": lambda raw: None}
    reader = rewritten(path, lambda member, raw: contents[damage](raw) if member == name else raw)
    with pytest.raises(ValueError, match=rf"a\.tar: .*{name}"):
        reader[0]
    assert_same(reader[1], samples[1], image=False)  # the others are as they were


def test_pickles_are_not_opened(tmp_path, samples):
    path = tmp_path / "a.tar"
    write_shard(path, samples[:1])
    out = io.BytesIO()
    np.savez(out, rotmats=np.array([{"a": 1}], dtype=object))
    reader = rewritten(path, lambda name, raw: out.getvalue() if name == f"{samples[0].key}.npz" else raw)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        reader[0]


def test_wrong_numbers_are_told(tmp_path, samples):
    path = tmp_path / "a.tar"
    write_shard(path, samples[:1])

    def wider(name, raw):
        about = json.loads(raw) if name.endswith("json") else None
        return json.dumps(about | {"camera": about["camera"] | {"width": 7}}).encode() if about else raw

    with pytest.raises(ValueError, match="is damaged: image"):
        rewritten(path, wider)[0]


def test_manifest_names_the_shards_and_refuses_other_samples(tmp_path, samples):
    manifest = Manifest("train", 5, 2, {"seed": 3, "scene": {"max_people": 4}}, "1.0")
    assert manifest.shards() == [
        ("train-000000.tar", range(0, 2)),
        ("train-000001.tar", range(2, 4)),
        ("train-000002.tar", range(4, 5)),
    ]
    manifest.begin(tmp_path)
    manifest.begin(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    other = dataclasses.replace(manifest, source={"seed": 3, "scene": {"max_people": 5}})
    with pytest.raises(ValueError, match=r"source\.scene\.max_people is 4 there, 5 now"):
        other.begin(tmp_path)


def test_a_level_too_high_or_too_low_is_told(tmp_path):
    data = tmp_path / "data"
    for split in ("train", "val"):
        (data / split).mkdir(parents=True)
        Manifest(split, 1, 1, {}, "1.0").begin(data / split)
    with pytest.raises(ValueError, match="it has the folders train and val with samples; give .*data/train or .*/val"):
        ShardReader.of_folder(data)
    with pytest.raises(ValueError, match="the samples are in .*data/val, which is one level higher"):
        ShardReader.of_folder(data / "val" / "val")
    with pytest.raises(ValueError, match="expected a folder with samples"):
        ShardReader.of_folder(tmp_path)


def test_a_full_disk_is_told_with_the_file(tmp_path, samples, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    path = tmp_path / "train-000000.tar"
    with pytest.raises(OSError, match=f"No space left on device.*{path}"):
        write_shard(path, samples)
    assert list(tmp_path.iterdir()) == []


def test_folder_needs_manifest_all_shards_and_their_samples(tmp_path, samples):
    with pytest.raises(ValueError, match="no manifest"):
        ShardReader.of_folder(tmp_path)
    Manifest("train", 4, 2, {}, "1.0").begin(tmp_path)
    write_shard(tmp_path / "train-000000.tar", samples[:2])
    with pytest.raises(ValueError, match=r"1 of 2 shards are missing, train-000001\.tar"):
        ShardReader.of_folder(tmp_path)
    write_shard(tmp_path / "train-000001.tar", samples[2:3])
    with pytest.raises(ValueError, match="expected 4 samples, got 3"):
        ShardReader.of_folder(tmp_path)
    write_shard(tmp_path / "train-000001.tar", samples[2:])
    assert len(ShardReader.of_folder(tmp_path)) == 4
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        ShardReader.of_folder(tmp_path)
