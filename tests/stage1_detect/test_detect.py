"""Stage 1: joints assigned jointly, pixels mapped back, unseen films read with the shipped weights."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from data.phantom.film import draw_film
from ra import film_names, paths
from ra.anatomy import JOINTS
from ra.config import UserError
from ra.imaging import film, polarity
from stage1_detect import inference, model, shape_model
from stage1_detect.detect import COLUMNS

REAL = paths.ROOT.parent / "shared" / "radiographs"


@pytest.fixture(scope="module")
def shipped():
    return model.shipped()


def points_of(part: str, seed: int) -> np.ndarray:
    found = draw_film(part, (seed, 2), max_px=400).joints
    return np.array([found[j] for j in JOINTS["hand" if part[1] == "H" else "foot"]])


def test_a_row_of_names_shifted_by_one_finger_is_corrected():
    shape = shape_model.load()["hand"]
    truth = points_of("LH", 1)
    scores = np.eye(22) * 0.9
    pips = [shape.joints.index(f"pip_{k}") for k in (2, 3, 4, 5)]
    for place, name in zip(pips, pips[1:] + pips[:1], strict=True):  # the network names pip_2 pip_3, and so on
        scores[place] = 0
        scores[place, name] = 0.8
    fit = shape_model.assign_joints(shape, truth, np.full(22, 20.0), scores)
    assert np.allclose(fit.points, truth) and not np.isnan(fit.conf).any()


def test_undetected_joints_are_placed_by_the_shape_model():
    shape = shape_model.load()["hand"]
    for seed in range(4):
        truth = points_of("LH", seed)
        length = np.ptp(truth[:, 1])
        seen = np.array([i for i in range(22) if i not in (3, 8, 15)])
        fit = shape_model.assign_joints(shape, truth[seen], np.full(len(seen), 20.0), np.eye(22)[seen] * 0.9)
        assert np.isnan(fit.conf[[3, 8, 15]]).all() and not np.isnan(fit.conf[seen]).any()
        assert np.hypot(*(fit.points - truth).T).max() < 0.13 * length


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("mirror", [False, True])
def test_pixels_of_a_turned_and_mirrored_view_come_back(turns, mirror):
    grey = np.zeros((600, 400), np.uint8)
    cv2.circle(grey, (300, 120), 12, 255, -1)
    image, factor = inference.view(grey, turns, mirror, 320)
    image[image == 114] = 0  # the padding
    ys, xs = np.nonzero(image > 128)
    back = inference.undo_view(np.array([[xs.mean() + 0.5, ys.mean() + 0.5]]) / factor, grey.shape, turns, mirror)
    assert np.allclose(back, [[300.5, 120.5]], atol=1.5)


def within(shipped, grey: np.ndarray, truth: dict, share: float, part: str | None) -> tuple[int, str]:
    reading = inference.read_film(shipped, grey, part)
    error = [np.hypot(*(p - truth[j])) for j, p in zip(reading.joints, reading.points, strict=True) if j in truth]
    return int((np.array(error) < share * max(grey.shape)).sum()), reading.part


@pytest.mark.parametrize("part", ["LH", "RH", "LF", "RF"])
def test_unseen_synthetic_films(shipped, part):
    good = total = 0
    for seed in range(5):
        drawn = draw_film(part, (seed, 77), max_px=700)
        grey = 255 - drawn.grey if polarity.looks_inverted(drawn.grey) else drawn.grey
        hits, _ = within(shipped, grey, drawn.joints, 0.02, part)
        good, total = good + hits, total + len(drawn.joints)
    assert good >= 0.97 * total


def test_part_and_side_are_found_from_the_picture(shipped):
    right = sum(
        within(shipped, draw_film(part, (9, 3), max_px=600).grey, {}, 1, None)[1] == part for part in ("LH", "RH", "LF", "RF")
    )
    assert right == 4


@pytest.mark.skipif(not REAL.is_dir(), reason="the real films do not ship")
@pytest.mark.parametrize(("name", "part", "least"), [("normal-hand-pa.jpg", "LH", 22), ("normal-foot-ap.jpg", "RF", 6)])
@pytest.mark.parametrize("turns", [0, 1])
def test_real_films_upright_and_turned(shipped, name, part, least, turns):
    truth = json.loads((REAL / "joints.json").read_text())[name]["joints"]
    grey = film.read(REAL / name)
    for _ in range(turns):  # np.rot90: counter-clockwise
        truth = {j: (y, grey.shape[1] - x) for j, (x, y) in truth.items()}
        grey = np.ascontiguousarray(np.rot90(grey))
    hits, found = within(shipped, grey, truth, 0.04, None)
    assert found == part
    assert hits >= least


def test_part_of_a_films_name():
    assert film_names.part_of("UAB001-LH") == "LH" and film_names.part_of("x_RF") == "RF" and film_names.part_of("GIRLH") is None


def test_detect_reads_a_folder_and_names_unreadable_films(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    cv2.imwrite(str(films / "someone.png"), draw_film("RH", (4, 4), max_px=500).grey)
    (films / "broken.jpg").write_bytes(b"\xff\xd8 not a film")
    command = [sys.executable, "-m", "stage1_detect.detect", "--films", str(films), "--out", str(tmp_path / "joints.csv")]
    done = subprocess.run(  # noqa: PLW1510
        command, cwd=paths.ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(paths.ROOT)}
    )
    assert done.returncode == 0 and "broken.jpg" in done.stdout, done.stderr
    table = pd.read_csv(tmp_path / "joints.csv")
    assert (
        list(table.columns) == COLUMNS and len(table) == 22 and set(table.file) == {"someone.png"} and set(table.part) == {"RH"}
    )


def test_foreign_weights_are_refused(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="cannot be read"):
        model.load(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="architecture"):
        model.build("no_such_net.yaml")
