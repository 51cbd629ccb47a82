"""Polarity: dark bones are recognised from the picture alone, with and without a border."""

import cv2
import numpy as np
import pytest

from ra import paths
from ra.imaging import film, polarity
from tests.worlds.film_formats import limb_picture, saved

REAL = paths.ROOT.parent / "shared" / "radiographs"
LIMBS = sorted(p for p in REAL.glob("*.jpg") if any(word in p.name for word in ("hand", "foot", "ankle", "knee", "elbow")))
real = pytest.mark.skipif(not LIMBS, reason="the real films are not here")


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.rint(limb_picture() * 255).astype(np.uint8)


def bordered(grey: np.ndarray, shade: int) -> np.ndarray:
    """The picture with a border of one grey."""
    out = np.full_like(grey, shade)
    y, x = grey.shape[0] // 25, grey.shape[1] // 20
    out[y:-y, x:-x] = grey[y:-y, x:-x]
    return out


@pytest.mark.parametrize("shade", [None, 0, 255])
def test_an_inverted_film_is_read_with_bright_bones(tmp_path, grey, shade):
    for dark in (False, True):
        picture = 255 - grey if dark else grey
        picture = picture if shade is None else bordered(picture, shade)
        got = film.read(saved(tmp_path / "a.png", picture))
        assert np.array_equal(got, 255 - picture if dark else picture)


@pytest.mark.parametrize("flat", [0, 128, 255])
def test_a_flat_picture_is_left_as_it_is(tmp_path, flat):
    picture = np.full((80, 60), flat, np.uint8)
    assert np.array_equal(film.read(saved(tmp_path / "a.png", picture)), picture)


@real
@pytest.mark.parametrize("path", LIMBS, ids=lambda p: p.stem)
def test_inverted_real_limbs_are_recognised(path):
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(film.read(path), grey)
    for gamma in (0.6, 1, 1.6):
        curve = np.rint((np.arange(256) / 255) ** gamma * 255).astype(np.uint8)
        for picture in (curve[grey], bordered(curve[grey], 0), bordered(curve[grey], 255)):
            assert not polarity.looks_inverted(picture) and polarity.looks_inverted(255 - picture)


@real
def test_no_real_film_is_taken_for_inverted():
    assert [p.name for p in REAL.glob("*.jpg") if polarity.looks_inverted(cv2.imread(str(p), cv2.IMREAD_GRAYSCALE))] == []


def test_the_inverted_picture_has_the_opposite_brightness(grey):
    assert polarity.bone_brightness(grey) > polarity.MIN_CONTRAST
    assert polarity.bone_brightness(255 - grey) == pytest.approx(-polarity.bone_brightness(grey), abs=0.02)
