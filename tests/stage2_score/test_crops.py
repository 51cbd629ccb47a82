"""Joint crops are canonical: mirrored, scaled and turned, whatever the film; box crops are the box and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from ra.anatomy import FOOT_JOINTS, HAND_JOINTS
from ra.imaging import film
from stage2_score import crops
from stage2_score.config import Crops
from tests.worlds.stage2_world import FOOT, HAND, HEIGHT, WIDTH, WRIST, draw

SMALL = Crops(out_px=24, canvas_px=48)


@pytest.mark.parametrize("kind", ["H", "F"])
def test_a_mirrored_film_gives_the_same_crops(kind):
    grey, boxes = draw(f"L{kind}", np.random.default_rng(0))
    mirrored = boxes.assign(x_px=WIDTH - 1 - boxes.x_px)
    left = crops.cut_film(grey, boxes, f"L{kind}", SMALL)
    right = crops.cut_film(np.ascontiguousarray(grey[:, ::-1]), mirrored, f"R{kind}", SMALL)
    assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
    unmirrored = crops.cut_film(grey, boxes, f"R{kind}", SMALL)
    assert not np.array_equal(left[0], unmirrored[0])


def test_crops_do_not_depend_on_turn_size_or_box_size():
    grey, boxes = draw("LH", np.random.default_rng(1))
    plain, _ = crops.cut_film(grey, boxes, "LH", SMALL)
    turned = boxes.assign(x_px=HEIGHT - 1 - boxes.y_px, y_px=boxes.x_px, w_px=9.0)  # a quarter turn clockwise
    quarter, _ = crops.cut_film(cv2.rotate(grey, cv2.ROTATE_90_CLOCKWISE), turned, "LH", SMALL)
    double = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    bigger, _ = crops.cut_film(double, boxes.assign(x_px=2 * boxes.x_px + 0.5, y_px=2 * boxes.y_px + 0.5), "LH", SMALL)
    for other in (quarter, bigger):
        assert np.abs(plain.astype(float) - other).mean() < 6
    assert np.abs(plain[1].astype(float) - plain[2]).mean() > 6  # and they are not all one picture


def test_axes_point_along_finger_hand_and_foot():
    points = {j: np.array(p, float) for j, p in zip(HAND_JOINTS, HAND + WRIST, strict=True)}
    assert crops.joint_axis("pip_2", points) @ [0, -1] > 0.9  # up, y is down
    assert crops.joint_axis("thumb_ip", points)[0] > 0.3  # the thumb leans right
    assert crops.part_axis(points) @ [0, -1] > 0.9
    foot = {j: np.array(p, float) * [WIDTH, HEIGHT] for j, p in zip(FOOT_JOINTS, FOOT, strict=True)}
    assert crops.part_axis(foot) @ [0, -1] > 0.97
    stray = np.vstack([np.array(HAND + WRIST), [[50.0, 50.0]]])
    assert crops.film_scale(stray) < 1.3 * crops.film_scale(stray[:-1])


def test_film_crop_is_what_crops_expect():
    """The direction that angle_deg names points up in the window."""
    grey = np.zeros((200, 200), np.uint8)
    grey[95:105, 140:160] = 255  # to the right of the centre
    window = film.crop(grey, 100, 100, 160, 64, angle_deg=90)
    y, x = np.argwhere(window > 128).mean(0)
    assert y < 20 and abs(x - 31.5) < 3


def test_box_crops_by_hand():
    """A box twice as high as wide fills the crop's height; beyond the box and the film it is black, the box is unchanged."""
    grey = np.arange(40, dtype=np.uint8)[None].repeat(60, 0) + 50  # brighter to the right
    crop = crops.cut_box(grey, np.array([19.5, 30.0, 10.0, 20.0]), 20)
    assert (crop[:, :5] == 0).all() and (crop[:, 15:] == 0).all()
    assert crop[10, 5:15].tolist() == list(range(65, 75))
    beyond = crops.cut_box(grey, np.array([0.0, 30.0, 20.0, 20.0]), 20)
    assert (beyond[:, :9] == 0).all() and (beyond[:, 10:] > 0).all()
    assert crops.wrist_box(np.array([[10.0, 10, 4, 4], [20, 30, 2, 6]])).tolist() == [14.5, 20.5, 13, 25]


def test_a_boxed_hand_shows_its_wrist_and_right_ones_are_mirrored():
    rng = np.random.default_rng(0)
    joints = crops.JOINTS["hand"]
    xy = rng.uniform(40, 160, (len(joints), 2)).round()
    boxes = pd.DataFrame({"joint": joints, "x_px": xy[:, 0], "y_px": xy[:, 1], "w_px": 24.0, "h_px": 16.0})
    grey = rng.integers(1, 255, (200, 200)).astype(np.uint8)
    c = Crops(out_px=24, canvas_px=16, cut="box")
    left, _ = crops.cut_film(grey, boxes, "LH", c)
    right, _ = crops.cut_film(np.ascontiguousarray(grey[:, ::-1]), boxes.assign(x_px=199 - boxes.x_px), "RH", c)
    assert left.shape == (len(joints) + 1, 24, 24) and (left == right).all()
    assert (left[:-1, :4] == 0).all() and (left[:-1, 4:20] > 0).all()  # 24 x 16 px: black above and below
    assert crops.joints_of_part("LH", c)[-1] == "wrist" and crops.joints_of_part("LF", c) == crops.JOINTS["foot"]
