"""Sources: what comes out of pictures, folders, videos and cameras, and what bad ones say."""

import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from ros2_multihmr.sources import Pictures, SourceError, Video, Webcam, endless, open_source, read_image


def _picture(path, value=0, size=(8, 6)):
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def video(tmp_path):
    """Ten images of 64x48 at 20 Hz, image i of brightness 20 i, red where RGB's first channel is."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * i), np.uint8))
    writer.release()
    return path


def test_folder_comes_sorted_as_rgb(tmp_path):
    for name, value in (("b.png", 2), ("a.jpg", 1), ("c.PNG", 3)):
        _picture(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("no picture")
    source = open_source(str(tmp_path))
    frames = list(source.frames())
    assert [f.name for f in frames] == ["a", "b", "c"] and source.length == 3
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 2, 3]
    assert all(f.image.shape == (6, 8, 3) and f.image.dtype == np.uint8 for f in frames)


def test_broken_picture_is_skipped_counted_and_named(tmp_path, caplog):
    whole = _picture(tmp_path / "a.png", 1, (64, 64))
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:2000])
    (tmp_path / "c.png").write_bytes(b"")
    source = open_source(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        names = [f.name for f in source.frames()]
    assert names == [whole.stem] and source.skipped == 2
    assert "b.jpg" in caplog.text and "c.png" in caplog.text


def test_folder_of_broken_pictures_is_an_error(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(SourceError, match="none of 2 pictures"):
        list(open_source(str(tmp_path)).frames())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: "", "no source"),
        (lambda d: str(d / "absent.jpg"), "no such file"),
        (lambda d: str(d), "holds no pictures"),
        (lambda d: str((d / "x.mp4").write_bytes(b"no video") and d / "x.mp4"), "cannot decode"),
    ],
)
def test_bad_sources_say_what_is_wrong(tmp_path, make, says):
    with pytest.raises(SourceError, match=says):
        open_source(make(tmp_path))


def test_broken_single_picture_is_an_error(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="cannot be read as a picture"):
        list(open_source(str(tmp_path / "x.png")).frames())


def test_video_gives_every_image_in_order(video):
    source = open_source(str(video))
    frames = list(source.frames())
    assert isinstance(source, Video) and source.rate_hz == 20.0 and source.length == 10
    assert frames[3].name == "clip_000003"
    reds = [float(f.image[..., 0].mean()) for f in frames]
    assert np.allclose(reds, 20 * np.arange(10), atol=6) and frames[9].image[..., 2].max() < 20


def test_endless_starts_over(video):
    frames = endless(open_source(str(video)))
    names = [next(frames).name for _ in range(11)]
    assert names[10] == names[0] and len(set(names)) == 10


def test_a_picture_alone_is_read_once(tmp_path, monkeypatch):
    reads = []
    monkeypatch.setattr("ros2_multihmr.sources.read_image", lambda path: (reads.append(path), read_image(path))[1])
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((4, 6, 3), len(name), np.uint8)).save(tmp_path / name)
    alone, both = endless(open_source(str(tmp_path / "a.png"))), endless(open_source(str(tmp_path)))
    assert [next(alone).name for _ in range(3)] == ["a"] * 3 and reads == [tmp_path / "a.png"]
    assert [next(both).name for _ in range(4)] == ["a", "b", "a", "b"]
    (tmp_path / "c.png").write_text("none")
    with pytest.raises(SourceError, match=r"c\.png: cannot be read"):
        next(endless(open_source(str(tmp_path / "c.png"))))


def test_slow_webcam_drops_surplus_images_and_reports_its_end(video):
    """A file stands in for the camera: same capture class, same loop."""
    source = Webcam(str(video), rate_hz=5.0)
    seen = []
    with pytest.raises(SourceError, match="no more images"):
        for frame in source.frames():
            seen.append(round(float(frame.image[..., 0].mean()) / 20))
    assert seen == [0, 4, 8] and source.live


@pytest.mark.parametrize("name", ["0", "/dev/video0", "rtsp://camera.local/stream"])
def test_webcams_are_told_from_files(name):
    assert isinstance(open_source(name), Webcam)


def test_absent_webcam_says_where_to_look():
    with pytest.raises(SourceError, match="/dev/video"):
        next(Webcam("/dev/video_that_is_not_there").frames())


def test_read_image_modes(tmp_path):
    Image.fromarray(np.full((4, 4), 200, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((4, 4), 200 * 256 + 7, np.uint16)).save(tmp_path / "grey16.png")
    Image.fromarray(np.full((4, 4, 4), (10, 20, 30, 0), np.uint8)).save(tmp_path / "alpha.png")
    assert (read_image(tmp_path / "grey.png") == 200).all()
    assert (read_image(tmp_path / "grey16.png") == 200).all()
    assert (read_image(tmp_path / "alpha.png") == (10, 20, 30)).all()


def test_exif_orientation_is_not_applied(tmp_path):
    picture, exif = Image.new("RGB", (8, 4)), Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (4, 8, 3)


def test_pictures_keep_the_given_order(tmp_path):
    paths = [_picture(tmp_path / f"{n}.png", n) for n in (3, 1, 2)]
    assert [f.name for f in Pictures(paths).frames()] == ["3", "1", "2"]
