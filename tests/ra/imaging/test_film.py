"""Films: every format gives the same upright picture, damaged files are refused, windows land where they should."""

import io
import json
import os
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ra import paths
from ra.imaging import dicom as headers
from ra.imaging import film, intensity
from tests.worlds.film_formats import FORMATS, LOSSY_FORMATS, dicom, limb_picture, saved

REAL = paths.ROOT.parent / "shared" / "radiographs"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real films are not here")


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.rint(limb_picture() * 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_formats_are_exact_and_the_content_decides(tmp_path, grey, suffix):
    path = saved(tmp_path / f"a.{suffix}", grey)
    assert np.array_equal(film.read(path), grey) and film.size(path) == (210, 300)
    assert np.array_equal(film.read(path.rename(tmp_path / "a.jpg")), grey)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_colour_files_become_grey(tmp_path, grey, mode):
    path = tmp_path / "a.png"
    Image.fromarray(grey).convert(mode).save(path)
    assert np.abs(film.read(path).astype(int) - grey).max() <= 1


def test_rgb_jpeg_is_the_grey_jpeg(tmp_path, grey):
    plain = film.read(saved(tmp_path / "a.jpg", grey, quality=95))
    colour = film.read(saved(tmp_path / "b.jpg", np.dstack([grey] * 3), quality=95))
    assert plain.shape == grey.shape and np.abs(plain.astype(int) - grey).mean() < 2
    assert np.abs(plain.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path, grey, orientation, suffix):
    # the transpose of an upright picture that EXIF orientation k turns back
    undo = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    picture = Image.fromarray(grey)
    if orientation > 1:
        picture = picture.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    picture.save(path, exif=exif, quality=98)
    got = film.read(path)
    assert got.shape == grey.shape and film.size(path) == (210, 300)
    assert np.abs(got.astype(int) - grey).mean() < 2


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_greys_are_scaled_by_their_depth(tmp_path, bits):
    picture = limb_picture()
    stored = np.rint(picture * (2**bits - 1)).astype(np.uint16)
    for path in (saved(tmp_path / "a.png", stored), saved(tmp_path / "a.tif", stored)):
        assert np.abs(film.read(path).astype(int) - np.rint(picture * 255)).max() <= 1


@pytest.mark.parametrize("name", [*FORMATS, *LOSSY_FORMATS])
def test_one_picture_is_the_same_in_every_format(tmp_path, grey, name):
    writer = (FORMATS | LOSSY_FORMATS)[name]
    path = writer(tmp_path / "a", grey)
    off = np.abs(film.read(path).astype(int) - grey)
    assert off.max() <= (1 if name in FORMATS else 8) and off.mean() < 1 and film.size(path) == (210, 300)


def test_sizes_that_do_not_fit_a_files_bytes_are_refused(tmp_path, grey):
    path = saved(tmp_path / "a.bmp", grey)
    data = bytearray(path.read_bytes())
    for at, value in ((18, 209 - 4), (18, 214), (22, 299), (22, 301)):
        damaged = data.copy()
        damaged[at : at + 4] = value.to_bytes(4, "little")
        path.write_bytes(damaged)
        with pytest.raises(film.FilmError):
            film.read(path)
    picture = Image.fromarray(grey)
    for tag, value in ((256, 209), (256, 211), (257, 299), (279, 5)):
        picture.save(tmp_path / "a.tif", tiffinfo={})
        data = bytearray((tmp_path / "a.tif").read_bytes())
        at = data.find(tag.to_bytes(2, "little"), int.from_bytes(data[4:8], "little"))
        data[at + 8 : at + 12] = value.to_bytes(4, "little")
        (tmp_path / "b.tif").write_bytes(data)
        with pytest.raises(film.FilmError):
            film.read(tmp_path / "b.tif")
    data = bytearray(saved(tmp_path / "a.png", grey).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(film.FilmError):
        film.read(tmp_path / "a.png")


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def test_files_that_unpack_to_too_much_and_pipes_are_refused(tmp_path, grey, monkeypatch):
    start, end = b"\x89PNG\r\n\x1a\n", chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    head = [chunk(b"IHDR", side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])) for side in (30000, 100)]
    (tmp_path / "wide.png").write_bytes(start + head[0] + end)
    (tmp_path / "text.png").write_bytes(start + head[1] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 25))) + end)
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.dcm").open("wb") as huge:
        huge.truncate(intensity.MAX_BYTES + 1)
    FORMATS["deflated"](tmp_path / "bomb", grey)
    monkeypatch.setattr(headers, "MAX_BYTES", grey.size)  # the unpacked file has twice as many bytes
    words = {
        "wide.png": "more pixels",
        "text.png": "too large",
        "pipe.jpg": "device",
        "huge.dcm": "more",
        "bomb.dcm": "deflated",
    }
    for name, word in words.items():
        with pytest.raises(film.FilmError, match=word):
            film.read(tmp_path / name)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97, 0.999])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "dcm"])
def test_truncated_files_are_refused(tmp_path, grey, suffix, share):
    path = tmp_path / f"a.{suffix}"
    dicom(path, grey) if suffix == "dcm" else saved(path, grey)
    data = path.read_bytes()
    path.write_bytes(data[: min(int(len(data) * share), len(data) - 20)])
    with pytest.raises(film.FilmError, match=str(path)):
        film.read(path)


def test_truncated_jpeg_with_a_thumbnail_or_zeros_is_refused(tmp_path, grey):
    small = io.BytesIO()
    Image.fromarray(grey[::8, ::8].copy()).save(small, "JPEG")
    thumbnail = b"\xff\xe1" + (len(small.getvalue()) + 2).to_bytes(2, "big") + small.getvalue()  # its own end marker
    data = saved(tmp_path / "a.jpg", grey).read_bytes()
    data = data[:2] + thumbnail + data[2:]
    path = tmp_path / "b.jpg"
    path.write_bytes(data)
    assert film.read(path).shape == grey.shape
    for broken in (data[: len(data) * 3 // 4], data[: len(data) * 3 // 4] + bytes(9000), data[:-30] + bytes(9000)):
        path.write_bytes(broken)
        with pytest.raises(film.FilmError):
            film.read(path)
    path.write_bytes(data + b"trailing words of an archive")
    assert film.read(path).shape == grey.shape


GARBAGE = {
    "empty": b"",
    "text": b"<html>not found</html>" * 30,
    "zip": b"PK\x03\x04" + bytes(500),
    "jpeg head": b"\xff\xd8\xff\xe0" + bytes(3000),
    "dicom head": bytes(128) + b"DICM" + bytes(300),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_file_that_is_not_a_film_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / "a.jpg"
    path.write_bytes(GARBAGE[name])
    for function in (film.read, film.size):
        with pytest.raises(film.FilmError) as error:
            function(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_missing_file_folder_and_tiny_or_foreign_pictures(tmp_path, grey):
    for path, word in ((tmp_path / "no.jpg", "does not exist"), (tmp_path, "cannot be read")):
        with pytest.raises(film.FilmError, match=word):
            film.read(path)
    with pytest.raises(film.FilmError, match="too small"):
        film.read(saved(tmp_path / "a.png", grey[:9, :9].copy()))
    with pytest.raises(film.FilmError, match="GIF is not a format"):
        film.read(saved(tmp_path / "a.gif", grey))


def test_plain_window_is_the_picture_itself(grey):
    assert np.array_equal(film.crop(grey, 99.5, 149.5, 100, 100), grey[100:200, 50:150])


def test_window_turns_the_given_direction_up():
    canvas = np.zeros((300, 300), np.uint8)
    x, y = 150 + 60 * np.sin(np.deg2rad(35)), 150 - 60 * np.cos(np.deg2rad(35))  # 35 degrees clockwise from up
    cv2.circle(canvas, (round(x), round(y)), 6, 255, -1)
    out = film.crop(canvas, 150, 150, 200, 100, angle_deg=35)
    row, column = np.unravel_index(cv2.GaussianBlur(out, (0, 0), 2).argmax(), out.shape)
    assert abs(column - 49.5) <= 1 and abs(row - (49.5 - 30)) <= 1


@pytest.mark.parametrize(("side", "out"), [(60, 96), (150, 64), (700, 96)])
def test_mirrored_film_and_mirrored_window_are_the_same(grey, side, out):
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    width = grey.shape[1]
    assert film.mirror_x(film.mirror_x(71.3, width), width) == pytest.approx(71.3)
    straight = film.crop(grey, 71.3, 120.6, side, out, angle_deg=17)
    other = film.crop(mirrored, film.mirror_x(71.3, width), 120.6, side, out, angle_deg=-17, mirror=True)
    assert np.abs(straight.astype(int) - other).mean() < 1


def test_shrinking_averages_and_the_edge_continues_outside(grey):
    noise = np.random.default_rng(1).integers(0, 256, (900, 900)).astype(np.uint8)
    small = film.crop(noise, 450, 450, 800, 80)
    assert abs(small.mean() - noise.mean()) < 2 and small.std() < 12, "aliased: a pixel must stand for its 10 x 10"
    flat = film.crop(np.full((50, 50), 77, np.uint8), -500, 20, 90, 32, angle_deg=30)
    assert (flat == 77).all()
    stripe = film.crop(grey, 0, 150, 40, 40)
    assert np.array_equal(stripe[:, 0], stripe[:, 15])
    for bad in ((np.nan, 5, 10, 10), (5, 5, 0, 10), (5, 5, -3, 10)):
        with pytest.raises(ValueError, match="no window"):
            film.crop(grey, *bad)


@real
def test_real_joints_are_in_the_middle_of_their_windows():
    """A joint space is a dark gap between two bright bones: the row through the middle is darker than those beside it."""
    marked = json.loads((REAL / "joints.json").read_text())["normal-hand-pa.jpg"]["joints"]
    grey = film.read(REAL / "normal-hand-pa.jpg")
    for finger in (2, 3, 4, 5):
        (x, y), (x_mcp, y_mcp) = marked[f"pip_{finger}"], marked[f"mcp_{finger}"]
        angle = np.degrees(np.arctan2(x - x_mcp, y_mcp - y))
        column = film.crop(grey, x, y, 200, 100, angle_deg=angle)[:, 42:58].mean(1)
        gap = 35 + column[35:65].argmin()
        assert column[gap] < column[gap - 15 : gap + 16].mean() - 8


@pytest.mark.parametrize("turns", range(4))
def test_a_frame_and_its_points_go_both_ways(grey, turns):
    wide, high = (90, 130) if turns % 2 == 0 else (130, 90)
    frame = film.Frame(left_px=40, top_px=60, width_px=wide, height_px=high, turns=turns)
    cut = frame.cut(grey)
    assert cut.shape == (high, wide) and np.array_equal(cut, np.rot90(grey[60:190, 40:130], turns))
    points = np.array([[3, 5], [80, 70], [17, 88]])
    there = frame.to_file(points).astype(int)
    assert np.array_equal(grey[there[:, 1], there[:, 0]], cut[points[:, 1], points[:, 0]])
    assert np.array_equal(frame.from_file(there), points)
    with pytest.raises(film.FilmError, match="smaller than when it was prepared"):
        frame.cut(grey[:150])


def test_only_a_dicom_file_may_lack_a_suffix(tmp_path):
    dicom_head, text = bytes(128) + b"DICM", b"read me"
    files = {
        "IM000001": dicom_head,
        "DICOMDIR": dicom_head,
        ".hidden": dicom_head,
        "README": text,
        "a.txt": dicom_head,
        "b.JPG": text,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    assert {p.name for p in tmp_path.iterdir() if film.is_named_film(p)} == {"IM000001", "b.JPG"}
