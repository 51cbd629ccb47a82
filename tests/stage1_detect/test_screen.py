"""What pictures show: limbs found and set upright, films refused for a reason, declarations checked against pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data import screening, screening_results
from data.film_files import row
from data.issues import Report
from data.phantom.film import draw_film
from ra import paths
from ra.anatomy import JOINTS, limb
from ra.config import UserError
from ra.imaging import film, polarity
from ra.quality_reasons import REASONS
from ra.tables import FILM_ISSUES, SCREENING
from stage1_detect import detect, inference, limb_search, model, quality_gate, screen

REAL = paths.ROOT.parent / "shared" / "radiographs"
OWN = ("normal-hand", "normal-foot")  # the real films of hands and feet
real = pytest.mark.skipif(not REAL.is_dir(), reason="the real films do not ship")


@pytest.fixture(scope="module")
def detector():
    import torch

    torch.set_num_threads(1)
    return model.shipped()


def drawn(part: str, seed: int, height: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A generated film (H, W) with bright bones, and its joints (J, 2)."""
    one = draw_film(part, (seed, 41), max_px=height)
    grey = 255 - one.grey if polarity.looks_inverted(one.grey) else one.grey
    return grey, np.array([one.joints[joint] for joint in JOINTS[limb(part)]])


def beside(*films: np.ndarray) -> np.ndarray:
    """Films side by side, as high as the highest; black below."""
    height = max(f.shape[0] for f in films)
    return np.hstack([np.vstack([f, np.zeros((height - f.shape[0], f.shape[1]), np.uint8)]) for f in films])


def seen(detector, grey: np.ndarray, part: str | None = None) -> list[quality_gate.Verdict]:
    return quality_gate.judge(grey, limb_search.find(detector, grey, part))


@pytest.mark.parametrize("turns", [0, 1])
def test_both_hands_are_two_upright_films_whose_joints_lie_where_they_were_drawn(detector, turns):
    (left, of_left), (right, of_right) = drawn("LH", 1), drawn("RH", 2)
    truth = {"LH": of_left, "RH": of_right + np.array([left.shape[1], 0])}
    grey = beside(left, right)
    turned = film.Frame(0, 0, *(grey.shape if turns else grey.shape[::-1]), turns)
    verdicts = seen(detector, turned.cut(grey))
    assert sorted(verdict.part for verdict in verdicts) == ["LH", "RH"]
    windows = np.zeros(turned.cut(grey).shape, int)
    for verdict in verdicts:
        assert not any(REASONS[word].refuses for word in verdict.reasons) and verdict.view == "PA"
        assert verdict.frame.turns == (4 - turns) % 4
        error = verdict.frame.to_file(verdict.reading.points) - turned.from_file(truth[verdict.part])
        assert np.hypot(*error.T).max() < 0.03 * max(left.shape)
        upright = verdict.frame.cut(turned.cut(grey))
        assert upright.shape == (verdict.frame.height_px, verdict.frame.width_px)
        width, height = verdict.frame.window_px
        windows[verdict.frame.top_px :, verdict.frame.left_px :][:height, :width] += 1
    assert windows.max() == 1  # no pixel belongs to two films


def test_both_feet_and_a_hand_beside_a_foot_are_two_films(detector):
    assert sorted(v.part for v in seen(detector, beside(drawn("RF", 3)[0], drawn("LF", 4)[0]))) == ["LF", "RF"]
    found = seen(detector, beside(drawn("LH", 5)[0], drawn("RF", 6)[0]))
    assert sorted(v.part for v in found) == ["LH", "RF"] and not any("too_many_limbs" in v.reasons for v in found)


def test_screening_and_reading_place_the_same_joints(detector):
    """Both also agree for a film that lies on its side, without and with its part."""
    grey = np.ascontiguousarray(np.rot90(drawn("RF", 12)[0]))
    (limb,) = limb_search.find(detector, grey)
    for part in (None, "RF"):
        reading = inference.read_film(detector, grey, part)
        assert reading.part == limb.reading.part == "RF"
        np.testing.assert_allclose(reading.points, limb.frame.to_file(limb.reading.points), atol=1e-6)


def test_two_left_hands_do_not_belong_to_one_patient(detector):
    found = seen(detector, beside(drawn("LH", 1)[0], drawn("LH", 7)[0]))
    assert len(found) == 2 and all("too_many_limbs" in verdict.reasons for verdict in found)


@pytest.mark.parametrize("part", ["LH", "RF"])
@pytest.mark.parametrize("change", ["dark", "small on its film", "tilted", "low resolution"])
def test_a_limb_is_read_however_it_lies_and_is_exposed(detector, part, change):
    grey, _ = drawn(part, 8, 700)
    height, width = grey.shape
    if change == "dark":
        grey = (grey * 0.2).astype(np.uint8)
    elif change == "small on its film":
        grey = cv2.copyMakeBorder(grey, height // 2, height // 2, width, width // 2, cv2.BORDER_CONSTANT, value=12)
    elif change == "tilted":
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 35, 0.75)
        grey = cv2.warpAffine(grey, matrix, (width, height), borderValue=12)
    else:
        grey = cv2.resize(grey, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    (verdict,) = seen(detector, grey)
    assert verdict.part == part and verdict.sure and not verdict.reasons, verdict.reasons


def test_what_cannot_be_scored_is_refused_with_its_reason(detector):
    hand, _ = drawn("LH", 9)
    rng = np.random.default_rng(0)
    text = np.full((700, 500), 250, np.uint8)
    for line in range(12):
        cv2.putText(text, "Lorem ipsum dolor", (40, 60 + 50 * line), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 10, 2)
    strips = np.vstack([hand[y : y + 60] for y in rng.permutation(range(0, hand.shape[0] - 60, 60))])
    for no_limb in (text, strips):
        (verdict,) = seen(detector, no_limb)
        assert "not_hand_or_foot" in verdict.reasons
    squeezed = cv2.resize(hand, None, fx=0.68, fy=1, interpolation=cv2.INTER_AREA)  # as turned by 47 degrees
    for grey, word in (
        (np.full((400, 300), 9, np.uint8), "too_dark"),
        (np.full((400, 300), 251, np.uint8), "blown_out"),
        (np.clip(hand.astype(int) * 6, 0, 255).astype(np.uint8), "blown_out"),
        (cv2.resize(hand, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA), "too_small"),
        (squeezed, "wrong_view"),
    ):
        assert any(word in verdict.reasons for verdict in seen(detector, grey)), word
        assert REASONS[word].refuses


def test_joints_beyond_the_edge_are_named_and_are_outside(detector):
    from stage1_detect.joint_detections import box_rows

    grey, points = drawn("LH", 10)
    cut = int(points[1:5, 1].mean() + 0.06 * grey.shape[0])  # below the proximal joints of the fingers, above the knuckles
    off = {joint for joint, (_, y) in zip(JOINTS["hand"], points, strict=True) if y < cut}
    (verdict,) = seen(detector, np.ascontiguousarray(grey[cut:]))
    assert verdict.part == "LH" and {"pip_2", "pip_3", "pip_4"} <= off
    assert len(off ^ set(verdict.reasons["cut_off"].split())) <= 1
    boxes = box_rows(verdict.reading, "x", -1, (verdict.frame.width_px, verdict.frame.height_px))
    assert {box["joint"] for box in boxes if box["source"] == "outside"} == set(verdict.reasons["cut_off"].split())
    assert not any(REASONS[word].refuses for word in verdict.reasons)


@real
@pytest.mark.parametrize(("name", "part"), [("normal-hand-pa.jpg", "LH"), ("normal-foot-ap.jpg", "RF")])
def test_real_films_of_the_right_view_pass(detector, name, part):
    grey = film.read(REAL / name)
    for scale, gamma in ((1, 1), (0.3, 0.6), (0.12, 1.5)):
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (verdict,) = seen(detector, (255 * (small / 255) ** gamma).astype(np.uint8))
        assert verdict.part == part and verdict.quality > 0.75 and not verdict.reasons


@real
@pytest.mark.parametrize("top", [560, 600, 700])
def test_no_joint_of_a_cut_finger_is_guessed(detector, top):
    """The network takes the end of a cut finger for its joint; what lies beyond the edge is outside all the same."""
    marked = json.loads((REAL / "joints.json").read_text())["normal-hand-pa.jpg"]["joints"]
    verdict = seen(detector, film.read(REAL / "normal-hand-pa.jpg")[top:], "LH")[0]
    beyond = {joint for joint, (_, y) in marked.items() if y < top}
    assert len(beyond) >= 2 and beyond <= set(verdict.reasons["cut_off"].split())


@real
@pytest.mark.parametrize("name", ["normal-hand-oblique", "normal-foot-oblique", "normal-hand-lateral", "normal-foot-lateral"])
def test_real_films_of_other_views_are_refused(detector, name):
    (verdict,) = seen(detector, film.read(REAL / f"{name}.jpg"))
    assert set(verdict.reasons) & {"wrong_view", "not_hand_or_foot"}


@real
def test_real_films_of_other_parts_are_refused(detector):
    """Ankles, knees, elbows, shoulders, hips, pelves, spines, and two DICOM files."""
    others = [path for path in sorted([*REAL.glob("*.jpg"), *REAL.glob("dicom/*.dcm")]) if not path.stem.startswith(OWN)]
    assert len(others) >= 15
    for path in others:
        (row,) = screen.screen_film(detector, str(path), None)
        assert (row["limb"], row["reasons"]) == (-1, "not_hand_or_foot"), path.name


def test_the_metatarsal_spread_of_generated_feet_is_not_oblique(detector):
    for seed in range(3):
        grey, _ = drawn("LF", 20 + seed)
        limb = limb_search.find(detector, grey, "LF")[0]
        assert quality_gate.metatarsal_spread(limb.frame.cut(grey), limb.reading) > quality_gate.LEAST_SPREAD


def write(folder: Path, name: str, grey: np.ndarray) -> Path:
    cv2.imwrite(str(folder / name), grey)
    return folder / name


def patient(name: str) -> dict:
    return {"patient_id": name, "person_id": name, "visit": 1, "split": "train"}


def test_the_declared_parts_of_a_set_are_checked_against_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    hand, foot = drawn("LH", 1)[0], drawn("RF", 2)[0]
    both = write(tmp_path, "both.png", beside(hand, drawn("RH", 3)[0]))
    rows = [
        row(patient("a"), "LH", write(tmp_path, "a.png", hand)),
        row(patient("b"), "RH", tmp_path / "a.png"),
        row(patient("c"), "LH", write(tmp_path, "c.png", foot)),
        row(patient("d"), None, both),
        row(patient("d"), None, tmp_path / "a.png"),
        row(patient("e"), "RH", both),
        row(patient("f"), None, write(tmp_path, "f.png", np.random.default_rng(0).integers(0, 255, (300, 300)))),
    ]
    report = Report()
    kept = {one["film_id"]: one for one in screening.resolve_limbs(rows, tmp_path / "film_issues.parquet", report)}
    assert set(kept) == {"a-LH", "b-RH", "d-LH", "d-RH", "e-RH"}
    assert (kept["b-RH"]["part"], kept["b-RH"]["laterality"], kept["b-RH"]["part_seen"]) == ("RH", "L", "LH")
    assert kept["d-LH"]["path"] == str(both) and kept["d-LH"]["view"] == "PA"
    assert kept["d-RH"]["left_px"] == kept["d-LH"]["width_px"] == kept["e-RH"]["left_px"] > 0
    assert "duplicate film" in report.faults
    reasons = FILM_ISSUES.read(tmp_path / "film_issues.parquet").set_index("film")
    assert reasons.reason.to_dict() == {"b-RH": "side_differs", "c-LH": "wrong_limb", "f.png": "not_hand_or_foot"}
    assert reasons.refused.to_dict() == {"b-RH": 0, "c-LH": 1, "f.png": 1}


def test_a_declared_hand_that_hardly_looks_like_one_is_kept_with_a_warning(tmp_path, monkeypatch):
    rows = [row(patient("a"), "LH", tmp_path / "a.png"), row(patient("b"), None, tmp_path / "b.png")]
    odd = {"limb": 0, "part_seen": "LH", "view_seen": None, **vars(film.Frame(0, 0, 9, 9)), "quality": 0.55}
    odd |= {"reasons": "not_hand_or_foot", "detail": "not_hand_or_foot: similar to a hand by only 0.55 of 1"}
    monkeypatch.setattr(
        screening_results, "screen", lambda _: SCREENING.check(pd.DataFrame([{"path": r["path"], **odd} for r in rows]))
    )
    report = Report()
    assert [one["film_id"] for one in screening.resolve_limbs(rows, tmp_path / "film_issues.parquet", report)] == ["a-LH"]
    assert set(report.faults) == {"doubted: not_hand_or_foot", "refused: not_hand_or_foot"}


def test_a_curated_set_of_a_kind_that_the_detector_does_not_know_is_kept_as_declared(tmp_path, monkeypatch):
    rows = [row(patient(f"p{i}"), "LH", tmp_path / f"{i}.png") for i in range(10)]
    rows.append(row(patient("q"), None, tmp_path / "q.png"))
    strange = {"limb": -1, "part_seen": None, "view_seen": None, **vars(film.Frame(0, 0, 9, 9)), "quality": 0.2}
    strange |= {"reasons": "not_hand_or_foot", "detail": "not_hand_or_foot: similar to a hand or foot by only 0.20 of 1"}
    known = strange | {"limb": 0, "part_seen": "LH", "quality": 0.9, "view_seen": "PA", "reasons": None, "detail": None}
    table = SCREENING.check(
        pd.DataFrame([{"path": r["path"], **(known if i in (0, 1) else strange)} for i, r in enumerate(rows)])
    )
    monkeypatch.setattr(screening_results, "screen", lambda _: table)
    report = Report()
    kept = screening.resolve_limbs(rows, tmp_path / "film_issues.parquet", report)
    assert kept == rows[:10]  # only the undeclared film is refused
    reasons = FILM_ISSUES.read(tmp_path / "film_issues.parquet")
    assert reasons.refused.sum() == 1 and len(reasons) == 9 and len(report.faults[screening.UNFAMILIAR]) == 1
    few = screening.resolve_limbs(rows[:2] + rows[8:], tmp_path / "film_issues.parquet", Report())
    assert few and [one["film_id"] for one in few] == ["p0-LH", "p1-LH"]  # two of four films do not show that the kind is new


def test_screening_resumes_where_it_was_killed(detector, tmp_path, monkeypatch):
    hand = write(tmp_path, "hand.png", drawn("LH", 1)[0])
    foot = write(tmp_path, "foot.png", drawn("RF", 2)[0])
    cache = tmp_path / "cache.jsonl"
    monkeypatch.setattr(model, "load", lambda *_: detector)
    first = screen.screen_all({str(hand): None}, cache)
    with cache.open("a") as stream:
        stream.write('{"path": "torn')
    opened = []
    unpatched = film.read
    monkeypatch.setattr(film, "read", lambda path: opened.append(Path(path).name) or unpatched(path))
    both = screen.screen_all({str(hand): None, str(foot): "RF"}, cache)
    assert both[0] == first[0] and [one["part_seen"] for one in both] == ["LH", "RF"] and opened == ["foot.png"]
    assert screen.screen_all({str(hand): None, str(foot): "RF"}, cache) == both and opened == ["foot.png"]
    write(tmp_path, "hand.png", drawn("RH", 4)[0])
    assert screen.screen_all({str(hand): None}, cache)[0]["part_seen"] == "RH"


def test_wrong_jobs_are_named(tmp_path):
    (tmp_path / "jobs.csv").write_text("path,part\na.png,HAND\n")
    with pytest.raises(UserError, match="HAND"):
        screen.read_jobs(tmp_path / "jobs.csv")
    with pytest.raises(UserError, match="cannot be read"):
        screen.read_jobs(tmp_path / "none.csv")


def test_detect_writes_both_hands_in_the_files_pixels_and_names_what_it_refuses(detector, tmp_path, monkeypatch, capsys):
    (left, of_left), (right, of_right) = drawn("LH", 1), drawn("RH", 3)
    write(tmp_path, "both.png", np.rot90(beside(left, right)))
    write(tmp_path, "nothing-RH.png", np.random.default_rng(0).integers(0, 255, (300, 300)))
    monkeypatch.setattr(model, "load", lambda *_: detector)
    out, issues = tmp_path / "joints.csv", tmp_path / "issues.csv"
    monkeypatch.setattr("sys.argv", ["detect", "--films", str(tmp_path), "--out", str(out), "--issues", str(issues)])
    detect.run()
    printed = capsys.readouterr().out
    assert "nothing-RH.png: refused not_hand_or_foot" in printed and REASONS["not_hand_or_foot"].cure in printed
    boxes = pd.read_csv(out).set_index(["part", "joint"])
    width = left.shape[1] + right.shape[1]
    for part, truth in (("LH", of_left), ("RH", of_right + np.array([left.shape[1], 0]))):
        found = boxes.loc[part].loc[list(JOINTS["hand"]), ["x_center_px", "y_center_px"]].to_numpy()
        expected = np.column_stack([truth[:, 1], width - 1 - truth[:, 0]])  # np.rot90: counter-clockwise
        assert np.hypot(*(found - expected).T).max() < 0.03 * max(left.shape)
    table = pd.read_csv(issues)
    assert set(table[table.refused == 1].file) == {"nothing-RH.png"} and set(table[table.refused == 0].reason) == {"turned"}


def test_a_joint_off_the_film_has_no_crop(tmp_path):
    from stage2_score import crops
    from stage2_score.config import Crops

    grey, points = drawn("LF", 5)
    path = write(tmp_path, "x-LF.png", grey)
    films = pd.DataFrame([row(patient("x"), "LF", path) | {"width_px": grey.shape[1], "height_px": grey.shape[0]}])
    films = films.assign(sha1="", left_px=0, top_px=0, turns=0)
    boxes = pd.DataFrame(points, columns=["x_px", "y_px"]).assign(
        film_id="x-LF", joint=JOINTS["foot"], fold=-1, w_px=40.0, h_px=40.0, conf=0.9, source="model"
    )
    boxes.loc[0, ["y_px", "conf", "source"]] = [-30.0, np.nan, "outside"]
    crops.cut_all(films, boxes, Crops("crops", out_px=32, canvas_px=64), tmp_path)
    index = pd.read_parquet(tmp_path / "crops.parquet")
    assert list(index.joint) == [joint for joint in JOINTS["foot"] if joint != "hallux_ip"]
    assert len(pd.read_parquet(tmp_path / "canvases.parquet")) == 1
    assert json.loads(index.row.to_json(orient="values")) == list(range(5))
