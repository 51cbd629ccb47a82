"""Crops of single joints with percentages: accepted and refused tables, and the steps from crops to scores of visits."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pandas as pd
import pytest

from data import prepare as verb
from data.issues import Report
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from data.sources import joint_columns, scqm_joints
from ra import anatomy, clinical, folds, paths
from ra.config import UserError
from ra.imaging import film, polarity
from ra.tables import ACTIVITY, BOXES, FILMS, RATINGEN, SITES
from stage2_score import crops
from stage2_score.config import Crops
from stage3_stack.kinds import joint_visits

HEAD = ("file", "patient", "date", "part", "joint", "percent", "grade", "split", "swollen", "tender", "esr", "crp", "global")
ROWS = [
    # a person at two dates, the later one first; the wrist; an unscored joint; a person of the test set
    ("b/1.png", "P1", "12.3.2006", "LH", "MCP 2", "45", "", "", "9", "4", "0", "", "50"),
    ("a/1.png", "P1", "2005-03-12", "LH", "wrist", "37.5", "2", "train", "0", "1", "10", "3", ""),
    ("a/2", "P1", "2005-03-12", "RF", "mtp-V", "", "", "train", "", "", "10", "", ""),
    ("a\\3.png", "P2", "1.3.2005", "RH", "IP", "", "5", "val", "", "", "", "", ""),
    ("4.png", "P3", "2007-01-31", "RH", "pip_3", "0", "0", "TEST", "", "", "", "", ""),
]


def write(root, rows, head=HEAD):
    with (root / "joints.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def cell(row: int, column: str, value: str) -> list[tuple]:
    """ROWS with one cell changed."""
    at = HEAD.index(column)
    return [(*r[:at], value, *r[at + 1 :]) if i == row else r for i, r in enumerate(ROWS)]


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Five crops below a folder, and their CSV."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "raw"
    for i, name in enumerate(("a/1.png", "a/2.png", "a/3.png", "b/1.png", "4.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.random.default_rng(i).integers(0, 255, (40, 30 + 2 * i), np.uint8))
    write(root, ROWS)
    return root


def prepare(root, **more):
    verb.prepare("scqm_joints", root, "s", 2, **more)


def faults():
    return json.loads((paths.work("s") / "report.json").read_text())["faults"]


def test_each_crop_is_a_film_with_one_box_and_each_date_a_visit(raw):
    prepare(raw)
    films = FILMS.read(paths.films("s")).set_index("film_id")
    assert sorted(films.index) == [
        "P1-v1-LH-wrist", "P1-v1-RF-mtp_5", "P1-v2-LH-mcp_2", "P2-v1-RH-thumb_ip", "P3-v1-RH-pip_3"
    ]  # fmt: skip
    assert films.path["P1-v2-LH-mcp_2"].endswith("b/1.png") and set(films.view) == {film.JOINT_VIEW}
    assert films.laterality["P1-v1-RF-mtp_5"] == "R" and films.split.eq("test").sum() == 1
    box = BOXES.read(paths.truth_boxes("s")).set_index("film_id").loc["P1-v1-LH-wrist"]
    assert tuple(box[["joint", "x_px", "y_px", "w_px", "h_px", "source"]]) == ("wrist", 14.5, 19.5, 30, 40, "truth")
    percent = RATINGEN.read(paths.ratingen("s")).set_index(["patient_id", "part", "joint"]).percent
    assert percent.dropna().to_dict() == {
        ("P1-v2", "LH", "mcp_2"): 45, ("P1-v1", "LH", "wrist"): 37.5, ("P2-v1", "RH", "thumb_ip"): 90
    }  # fmt: skip
    assert len(percent) == 5, "an unscored joint is still read"
    gold = RATINGEN.read(paths.ratingen_gold("s"))
    assert gold[["patient_id", "percent"]].to_numpy().tolist() == [["P3-v1", 0]], "test patients are in a separate table"
    assert SITES.read(paths.sites("s")).target.isna().all(), "there are no SvdH scores"
    fold = folds.load("s")
    assert sorted(fold.index) == ["P1-v1", "P1-v2", "P2-v1"] and fold["P1-v1"] == fold["P1-v2"] != fold["P2-v1"]
    assert not faults()


def test_activity_is_per_visit(raw):
    prepare(raw)
    table = ACTIVITY.read(paths.activity("s")).set_index("patient_id")
    first, second = table.loc["P1-v1"], table.loc["P1-v2"]
    assert (first.swollen, first.tender, first.esr, first.crp, second.days) == (0, 1, 10, 3, 365)
    assert np.isnan([first.das28_esr, first.das28_crp, second.das28_crp, table.das28_esr["P3-v1"]]).all()
    assert second.das28_esr == pytest.approx(0.56 * 2 + 0.28 * 3 + 0 + 0.7)  # an ESR of 0 counts as 1


def test_das28_and_rau_by_hand():
    e = np.e
    assert clinical.das28_esr([4], [9], [e**2], [50]) == pytest.approx([1.12 + 0.84 + 1.4 + 0.7])
    assert clinical.das28_crp([4], [9], [e - 1], [50]) == pytest.approx([1.12 + 0.84 + 0.36 + 0.7 + 0.96])
    bands = {2.59: "remission", 2.6: "low", 3.19: "low", 3.2: "moderate", 5.1: "moderate", 5.11: "high", np.nan: None}
    assert {score: clinical.das28_band(score) for score in bands} == bands
    half = clinical.rau(dict.fromkeys(clinical.RAU_SITES[:17], 1.0))
    assert half.score == 38 and half.bounds == (19, 19 + 95)
    assert clinical.rau(dict.fromkeys(clinical.RAU_SITES, 2.0)).bounds == (76, 76) and clinical.rau({}).bounds == (0, 190)


@pytest.mark.parametrize(
    ("name", "limb", "joint"),
    [
        ("MCP 2", "hand", "mcp_2"), ("mcp2", "hand", "mcp_2"), ("PIP-III", "hand", "pip_3"), ("Wrist", "hand", "wrist"),
        ("IP", "hand", "thumb_ip"), ("IP", "foot", "hallux_ip"), ("MTP1", "foot", "mtp_1"), ("mtp_iv", "foot", "mtp_4"),
    ],
)  # fmt: skip
def test_joints_are_found_by_their_usual_names(name, limb, joint):
    assert joint_columns.find(name, (limb,)) == (limb, joint)


def test_a_side_is_enough_if_the_joint_identifies_the_limb(raw):
    head = ["side" if name == "part" else name for name in HEAD]
    rows = [(*r[:3], side, r[4], *r[5:]) for r, side in zip(ROWS, ("L", "left", "Right", "r", "R"), strict=True)]
    rows[3] = (*rows[3][:4], "thumb IP", *rows[3][5:])
    write(raw, rows, head)
    prepare(raw)
    assert set(FILMS.read(paths.films("s")).part) == {"LH", "RH", "RF"}
    rows[3] = (*rows[3][:4], "IP", *rows[3][5:])
    write(raw, rows, head)
    with pytest.raises(UserError, match="thumb_ip of the hand and hallux_ip of the foot"):
        prepare(raw)


def test_columns_of_any_name(raw):
    write(raw, ROWS, ["erosion %" if name == "percent" else name for name in HEAD])
    prepare(raw, columns={"percent": "erosion %"})
    assert RATINGEN.read(paths.ratingen("s")).percent.notna().sum() == 3


REFUSED = {
    "unknown joint": (cell(0, "joint", "MPC 2"), "joint 'MPC 2' is not known; did you mean mcp_2?"),
    "joint of the other limb": (cell(0, "joint", "MTP 2"), "joint 'MTP 2'"),
    "percent above 100": (cell(0, "percent", "120"), "row 2 (P1 MCP 2): percent is '120', not a number from 0 to 100"),
    "no number": (cell(0, "percent", "1_0"), "percent is '1_0'"),
    "half a grade": (cell(3, "grade", "2.5"), "grade is '2.5', not a whole number from 0 to 5"),
    "shares": ([(*r[:5], "0.5", *r[6:]) for r in ROWS], "multiply them by 100"),
    "impossible day": (cell(0, "date", "31.2.2006"), "date '31.2.2006' is not a date"),
    "ambiguous month": (cell(0, "date", "3/4/2006"), "date '3/4/2006' is ambiguous: day or month first"),
    "no date": (cell(0, "date", ""), "date '' is not a date"),
    "unknown part": (cell(0, "part", "HL"), "part is 'HL'; write LH, RH, LF or RF"),
    "unknown split": (cell(0, "split", "trian"), "split is 'trian'; write train, val or test"),
    "too many joints": (cell(0, "swollen", "29"), "swollen is '29', not a whole number from 0 to 28"),
    "two ESR": (cell(2, "esr", "11"), "esr is 10 in row 3 and 11 in row 4, for the same patient and date"),
    "joint twice": ([*ROWS, ("x.png", *ROWS[0][1:])], "rows 2 and 7 are both LH mcp_2 of P1 at one date"),
    "picture twice": (cell(4, "file", "a/2.png"), "rows 4 and 6 name the same picture, 2.png"),
    "two pictures": (cell(4, "file", "1.png"), "1.png matches 2 pictures; write folder and suffix"),
    "visit in both": (cell(1, "split", "test"), "rows 3 and 4 have one patient and date, but are in train and in test"),
    "no picture at all": ([("x" + r[0], *r[1:]) for r in ROWS], "none of its files is below"),
    "only test": ([(*r[:7], "test", *r[8:]) for r in ROWS], "no row to train on"),
    "path as id": (cell(0, "patient", "../P1"), "patient is not a plain id"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_untrustworthy_tables_are_refused_with_row_and_cure(raw, name):
    rows, message = REFUSED[name]
    write(raw, rows)
    with pytest.raises(UserError) as error:
        prepare(raw)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not paths.work("s").exists()


def test_tables_that_are_missing_are_named(raw):
    write(raw, ROWS, ["score" if name in ("percent", "grade") else name for name in HEAD])
    with pytest.raises(UserError, match="'score' twice"):
        prepare(raw)
    write(raw, [r[:5] for r in ROWS], HEAD[:5])
    with pytest.raises(UserError, match="neither a column 'percent' nor 'grade'"):
        prepare(raw)
    write(raw, ROWS, ["Percnt" if name == "percent" else name for name in HEAD])
    with pytest.raises(UserError, match="has no column 'percent', but 'Percnt'"):
        prepare(raw)
    (raw / "more.csv").write_text("a\n")
    with pytest.raises(UserError, match="holds 2 CSV files"):
        prepare(raw)
    (raw / "more.csv").unlink()
    (raw / "joints.csv").unlink()
    with pytest.raises(UserError, match="holds no CSV file"):
        prepare(raw)


def test_minor_faults_are_counted_as_warnings(raw):
    (raw / "a/2.png").unlink()
    cv2.imwrite(str(raw / "extra.png"), np.full((30, 30), 9, np.uint8))
    write(raw, [*cell(0, "grade", "1"), ("a/9.png", "P1", "2008-01-01", "LH", "wrist", "3", "", "test", *[""] * 5)])
    prepare(raw)
    found = faults()
    assert found["row without a film"] == ["row 4: a/2", "row 7: a/9.png"] and found["film without a row"] == ["extra.png"]
    assert len(found["Ratingen grade differs from its percent"]) == 1 and found["person in train and test"] == ["P1"]
    assert len(FILMS.read(paths.films("s"))) == 4 and len(RATINGEN.read(paths.ratingen("s"))) == 6
    with pytest.raises(UserError, match="--strict"):
        prepare(raw, strict=True)


def test_a_crop_keeps_its_greys_and_right_ones_are_mirrored(raw):
    """A crop that is dark in the middle is not inverted, unlike a film of a whole limb."""
    y, x = np.mgrid[:60, :40]
    dark = np.clip(255 - 12 * np.hypot(30 - y, 20 - x) ** 0.5 * (x < 30), 0, 255).astype(np.uint8)
    dark = 255 - cv2.GaussianBlur(dark, (5, 5), 0)
    assert polarity.looks_inverted(dark) or polarity.looks_inverted(255 - dark)
    dark = dark if polarity.looks_inverted(dark) else 255 - dark
    cv2.imwrite(str(raw / "4.png"), dark)
    prepare(raw)
    films, c = FILMS.read(paths.films("s")), Crops(kind="crops", out_px=60, canvas_px=32, cut="box")
    (raw / "out").mkdir()
    counts, _ = crops.cut_all(films, BOXES.read(paths.truth_boxes("s")), c, raw / "out")
    index = pd.read_parquet(raw / "out/crops.parquet").set_index("film_id")
    assert counts == {"films": 5, "films_left_out": 0, "crops": 5} and set(index.box_source) == {"truth"}
    picture = np.load(raw / "out/crops.npy")[index.row["P3-v1-RH-pip_3"]]
    assert np.array_equal(picture[:, 10:50], dark[:, ::-1]) and not picture[:, :10].any() and not picture[:, 50:].any()


def mutated(rng, text: str) -> str:
    """One to three changes of cells, rows, columns or characters."""
    for _ in range(rng.integers(1, 4)):
        lines = [line.split(",") for line in text.split("\n")]
        i, kind = rng.integers(len(lines)), rng.integers(7)
        j = rng.integers(len(lines[i]))
        words = ("", "NA", "-1", "0", "1e2", "1e999", "٣", "5", "100.1", "LF", "x", '"', "2006-02-30", "=1+1", "\x00", "a/2.png")
        if kind <= 2:
            lines[i][j] = words[rng.integers(len(words))]
        elif kind == 3:
            lines.insert(rng.integers(len(lines) + 1), list(lines[i]))
        elif kind == 4:
            del lines[i][j]
        elif kind == 5:
            at = rng.integers(len(lines[i]))
            lines[i][j], lines[i][at] = lines[i][at], lines[i][j]
        text = "\n".join(",".join(line) for line in lines)
        if kind == 6 and text:
            at = rng.integers(len(text))
            letter = chr(rng.choice([0, 9, 10, 13, 34, 44, 47, 59, 200, 0x2028, 0x1F600]))
            text = text[:at] + letter + text[at + rng.integers(3) :]
    return text


def percents(text: str) -> list[float]:
    """The percentages of a table, read independently: each row's percent, or the middle of its grade's range."""
    rows = [{k.strip(): v.strip() for k, v in r.items()} for r in csv.DictReader(io.StringIO(text)) if any(r.values())]
    number = [[float(r.get(k, "") or "nan") if r.get(k) != "NA" else np.nan for k in ("percent", "grade")] for r in rows]
    given = [max(20 * grade - 10, 0) if np.isnan(percent) else percent for percent, grade in number]
    return sorted(percent for percent in given if not np.isnan(percent))


def test_no_mutated_table_crashes_or_is_misread(raw):
    rng, clock, read = np.random.default_rng(0), time.process_time(), 0
    text = (raw / "joints.csv").read_text().strip()
    for _ in range(2000):
        broken = mutated(rng, text)
        (raw / "joints.csv").write_bytes(broken.encode())
        try:
            found = scqm_joints.read(raw, Report(), scqm_joints.COLUMNS)
        except UserError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 500
            continue
        read += 1
        names = {"ratingen.parquet", "ratingen_gold.parquet"} & set(found.tables)
        tables = [RATINGEN.check(found.tables[name][1]) for name in names]
        assert sorted(pd.concat(tables).percent.dropna()) == pytest.approx(percents(broken))
    assert read > 100 and time.process_time() - clock < 60


def draw_set(root, n_persons: int, n_test: int):
    """Write crops of drawn hands whose erosions follow the percentages; every second person has two visits."""
    rng, rows = np.random.default_rng(0), []
    for person in range(n_persons):
        for visit in range(1 + person % 2):
            items = dict(zip(HEAD[8:], (*rng.integers(0, 20, 2), rng.integers(1, 60), 5.5, rng.integers(0, 100)), strict=True))
            for part in ("LH", "RH"):
                joints = anatomy.RATINGEN_JOINTS["hand"]
                percent = {j: float(rng.integers(0, 101)) if rng.random() < 0.5 else 0.0 for j in joints}
                hand = draw_film(
                    part, (person, visit), damage=Damage(erosion={j: p / 20 for j, p in percent.items()}), max_px=400
                )
                for joint, crop in cut(hand).items():
                    name = f"{part}/{person}_{visit}_{joint}.png"
                    (root / part).mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(root / name), crop)
                    same = {"file": name, "patient": f"P{person}", "date": f"{2005 + visit}-01-01", "part": part, "joint": joint}
                    split = "test" if person >= n_persons - n_test else "train"
                    rows.append({**same, "percent": percent[joint], "split": split, **items})
    pd.DataFrame(rows).to_csv(root / "joints.csv", index=False)


def cut(hand) -> dict[str, np.ndarray]:
    """Joint -> its crop from a drawn hand; the wrist is one joint."""
    at = {j: (np.array(xy) - hand.box_px[j] * 0.6, np.array(xy) + hand.box_px[j] * 0.6) for j, xy in hand.joints.items()}
    wrist = [box for j, box in at.items() if j.startswith("wrist")]
    boxes = {j: box for j, box in at.items() if not j.startswith("wrist")}
    boxes["wrist"] = np.min([low for low, _ in wrist], axis=0), np.max([high for _, high in wrist], axis=0)
    crops_of = {j: hand.grey[max(int(y0), 0) : int(y1), max(int(x0), 0) : int(x1)] for j, ((x0, y0), (x1, y1)) in boxes.items()}
    return {j: crop for j, crop in crops_of.items() if min(crop.shape) >= 16}


@pytest.mark.slow
def test_from_crops_to_the_scores_of_visits(tmp_path, monkeypatch):
    draw_set(tmp_path / "raw", n_persons=8, n_test=2)
    world = os.environ | {"RA_DATA": str(tmp_path / "data"), "RA_SUBMISSIONS": str(tmp_path / "out"), "OMP_NUM_THREADS": "1"}
    smoke = "--data s --profile smoke"
    for line in (
        f"data.prepare --source scqm_joints --root {tmp_path / 'raw'} --data s --folds 2",
        f"stage2_score.pictures configs/joint_visits/pictures {smoke}",
        f"stage2_score.train configs/joint_visits/members {smoke} --bone-age none --device cpu --jobs 1",
        f"stage3_stack.train configs/joint_visits/stack {smoke}",
        f"stage3_stack.train configs/joint_visits/stack {smoke} --set members=[rohrbach_weighted] --run weighted",
        "stage3_stack.submit --data s --run visits",
        "evaluation.results --data s --run visits",
    ):
        command = [sys.executable, "-m", *line.split()]
        done = subprocess.run(command, cwd=paths.ROOT, env=world, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "out/s.csv", dtype={"person_id": str})
    assert list(table.Patient_ID) == ["P6-v1", "P7-v1", "P7-v2"]
    grades = table.filter(like="_grade")
    assert grades.shape[1] == 22 and grades.notna().all().all() and table.filter(like="_percent").notna().all().all()
    assert np.allclose(table.rau, (38 * grades.sum(axis=1) / table.n_scored).round(1)) and (table.n_scored == 22).all()
    assert (table.rau_low <= table.rau + 0.1).all() and set(table.das28_esr_band) <= {"remission", "low", "moderate", "high"}
    record = json.loads((tmp_path / "out/s.json").read_text())
    assert record["patients"] == 3 and record["split"] == "test"
    assert "quadratic kappa" in done.stdout and "commonest grade" in done.stdout
    monkeypatch.setenv("RA_DATA", world["RA_DATA"])
    joints = RATINGEN.read(paths.ratingen("s"))
    out_of_fold = joint_visits.visit_table("s", "weighted", "oof", joints[joints.split == "train"])
    assert len(out_of_fold) == 9 and out_of_fold.rau.notna().all() and not len(out_of_fold.filter(like="_percent").columns)
