"""Greys: usual bit depths, a linear stretch between two greys, and the exposed field without its border."""

import numpy as np
import pytest

from ra.imaging import intensity


@pytest.mark.parametrize(("low", "high", "bits"), [(0, 255, 8), (0, 256, 10), (0, 4095, 12), (-1, 2047, 12), (0, 70000, 16)])
def test_the_depth_is_the_least_usual_one_that_holds_the_values(low, high, bits):
    assert intensity.depth(low, high) == bits


def test_shares_of_a_depth_become_greys():
    shares = intensity.share(np.array([0, 2048, 4095]), 0, 4000)
    assert intensity.to_uint8(shares).tolist() == [0, 128, 255]
    assert intensity.share(np.array([-128, 127]), -5, 9).tolist() == [0, 1], "negative values take half the range"


def test_a_stretch_is_linear_between_its_ends_and_clipped_beyond():
    table = intensity.stretch_table(50, 150)
    assert table.dtype == np.uint8 and table.shape == (256,)
    assert table[[0, 50, 75, 100, 150, 255]].tolist() == [0, 0, 63, 127, 255, 255]
    assert np.array_equal(intensity.stretch_table(0, 255), np.arange(256))
    step = intensity.stretch_table(7, 7)
    assert step[7] == 0 and step[8] == 255, "equal ends are taken as one grey apart"


@pytest.mark.parametrize(("low", "high"), [(12.25, 201.5), (0, 3), (254, 255), (3.7, 3.9)])
def test_a_stretch_never_lets_a_brighter_grey_become_darker(low, high):
    assert (np.diff(intensity.stretch_table(low, high).astype(int)) >= 0).all()


def picture_with_border() -> np.ndarray:
    """Flat pixels (100, 80): a border of 10 px and an island in the middle."""
    is_flat = np.ones((100, 80), bool)
    is_flat[10:-10, 10:-10] = False
    is_flat[40:60, 30:50] = True
    return is_flat


def test_the_exposed_field_leaves_out_flat_areas_that_touch_the_edge():
    field = intensity.exposed_field(picture_with_border())
    assert field.dtype == bool and field[10:-10, 10:-10].all() and field.sum() == 80 * 60


def test_the_border_can_be_widened():
    field = intensity.exposed_field(picture_with_border(), margin_px=2)
    assert field[12:-12, 12:-12].all() and field.sum() == 76 * 56


def test_a_small_flat_area_at_the_edge_can_belong_to_the_field():
    is_flat = np.zeros((100, 100), bool)
    is_flat[0, :30] = True
    assert not intensity.exposed_field(is_flat)[0, 0]
    assert intensity.exposed_field(is_flat, min_area_frac=0.003).all()
    is_flat[1, 0] = True
    assert not intensity.exposed_field(is_flat, min_area_frac=0.003)[0, 0]


def test_a_picture_that_is_nearly_all_border_is_taken_whole():
    is_flat = np.ones((100, 100), bool)
    is_flat[50:80, 50:90] = False
    assert intensity.exposed_field(is_flat).all()
    is_flat[20:80, 50:90] = False
    assert intensity.exposed_field(is_flat).sum() == 60 * 40


def test_looking_up_and_counting_in_blocks_is_exact(monkeypatch):
    monkeypatch.setattr(intensity, "BLOCK", 7)
    words = np.random.default_rng(0).integers(0, 1024, (11, 13)).astype(np.uint16)
    table = np.arange(1024, dtype=np.uint16)[::-1].copy()
    assert np.array_equal(intensity.look_up(table, words), table[words])
    assert np.array_equal(intensity.counts(words, 1024), np.bincount(words.ravel(), minlength=1024))
