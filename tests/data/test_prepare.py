"""Preparing a raw folder: what is read, what is refused, what is only a warning, and when the work is skipped."""

import csv
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import prepare as verb
from ra import anatomy, folds, paths
from ra.config import UserError
from ra.imaging import film
from ra.tables import BONE_AGE, BOXES, FILMS, RATINGEN, SITES


def prepare(*args, **more):
    """Prepare a set without screening, because these pictures are only ovals."""
    verb.prepare(*args, **{"trust": True, **more})


TRAIN, TEST = [f"UAB{i:03d}" for i in range(1, 10)], ["UAB101", "UAB102"]


def picture(seed: int, width: int = 40, height: int = 60) -> np.ndarray:
    """A bright oval with a random texture on a dark background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    oval = ((x - width / 2) / (width / 3)) ** 2 + ((y - height / 2) / (height / 2.6)) ** 2 < 1
    patches = cv2.resize(rng.uniform(0, 120, (15, 10)), (width, height), interpolation=cv2.INTER_LINEAR)
    return (30 + (90 + patches) * oval + rng.integers(0, 9, oval.shape)).astype(np.uint8)


def grades(seed: int) -> dict:
    """A row of scores with correct totals; most scores are 0."""
    rng = np.random.default_rng(seed)
    row = {s.column: int(rng.integers(0, s.max_grade + 1) * (rng.random() < 0.3)) for s in anatomy.SITES}
    for finding in anatomy.FINDINGS:
        row[anatomy.OVERALL[finding]] = sum(row[s.column] for s in anatomy.SITES if s.finding == finding)
    row["Overall_Tol"] = row["Overall_erosion"] + row["Overall_narrowing"]
    return row


def write_csv(path, columns, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """An RA2-DREAM folder with nine training and two test patients; the data root is in tmp_path."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "raw"
    for split, ids in (("train", TRAIN), ("test", TEST)):
        (root / split).mkdir(parents=True)
        for i, patient in enumerate(ids):
            for k, part in enumerate(anatomy.PARTS):
                cv2.imwrite(str(root / split / f"{patient}-{part}.jpg"), picture(4 * (i + len(TRAIN) * (split == "test")) + k))
    write_csv(root / "train/training.csv", anatomy.COLUMNS_A, [{"Patient_ID": p, **grades(i)} for i, p in enumerate(TRAIN)])
    write_csv(root / "test/template.csv", anatomy.COLUMNS_B, [{"Patient_ID": p} for p in TEST])
    return root


def edit(raw, change, table="train/training.csv"):
    rows = pd.read_csv(raw / table, dtype=str, keep_default_na=False)
    change(rows).to_csv(raw / table, index=False)


def faults():
    return json.loads((paths.work("s") / "report.json").read_text())["faults"]


def test_prepared_set_holds_every_film_site_and_fold(raw):
    prepare("ra2dream", raw, "s", n_folds=3)
    films, sites = FILMS.read(paths.films("s")), SITES.read(paths.sites("s"))
    assert len(films) == 44 and set(films.view) == {"PA", "AP"} and not faults()
    first = films[films.film_id == "UAB001-LH"].iloc[0]
    assert (first.width_px, first.height_px, first.laterality, first.split, first.visit) == (40, 60, "L", "train", 1)
    assert len(sites) == 89 * 11 and sites.target.isna().sum() == 89 * 2
    for patient, row in zip(TRAIN, map(grades, range(9)), strict=True):
        rows = sites[sites.patient_id == patient]
        scored = rows[rows.part != "ALL"]
        assert dict(zip(scored.part + "_" + scored.site, scored.target, strict=True)) == {
            s.column: row[s.column] for s in anatomy.SITES
        }
        totals = rows[rows.part == "ALL"]
        assert {anatomy.OVERALL[f]: t for f, t in zip(totals.finding, totals.target, strict=True)} == {
            c: row[c] for c in anatomy.OVERALL.values()
        }
    assert sorted(folds.load("s").index) == TRAIN and set(folds.load("s")) == {0, 1, 2}
    assert (paths.work("s") / "template.csv").read_bytes() == (raw / "test/template.csv").read_bytes()


def test_orders_a_and_b_are_read_by_name(raw):
    prepare("ra2dream", raw, "s")
    edit(raw, lambda rows: rows[list(anatomy.COLUMNS_B)])
    prepare("ra2dream", raw, "b")
    pd.testing.assert_frame_equal(SITES.read(paths.sites("s")), SITES.read(paths.sites("b")))


def test_skipped_when_equal_and_rebuilt_when_changed(raw, capsys):
    prepare("ra2dream", raw, "s")
    first = (paths.work("s") / "run.json").stat().st_mtime_ns
    prepare("ra2dream", raw, "s")
    assert "skipped" in capsys.readouterr().out and (paths.work("s") / "run.json").stat().st_mtime_ns == first
    run = paths.run_dir("s", 2, "resnet")
    run.mkdir(parents=True)
    edit(raw, lambda rows: rows.assign(LH_mcp_E__1="3"))
    prepare("ra2dream", raw, "s")
    sites = SITES.read(paths.sites("s"))
    assert (sites.target[(sites.part == "LH") & (sites.site == "mcp_E__1") & (sites.split == "train")] == 3).all()
    assert run.is_dir(), "runs of the older set stay; their manifests show that they are outdated"
    (raw / "train/UAB003-LF.jpg").unlink()
    prepare("ra2dream", raw, "s")
    assert len(FILMS.read(paths.films("s"))) == 43 and faults()["missing film"] == ["train/UAB003-LF"]
    (paths.work("s") / "template.csv").write_text("changed")
    prepare("ra2dream", raw, "s")
    assert (paths.work("s") / "template.csv").read_bytes() == (raw / "test/template.csv").read_bytes()


def test_films_are_named_by_an_exact_patient_id_and_a_part(raw):
    """Any separator and case; a name that only begins with a patient's id is another patient's film."""
    train = raw / "train"
    for part, name in (("LH", "UAB001_LH"), ("RH", "UAB001 rh"), ("LF", "UAB001-lf"), ("RF", "UAB001b-RF")):
        (train / f"UAB001-{part}.jpg").rename(train / f"{name}.jpg")
    prepare("ra2dream", raw, "s")
    films = FILMS.read(paths.films("s"))
    assert sorted(films.part[films.patient_id == "UAB001"]) == ["LF", "LH", "RH"]
    assert faults()["film without a row"] == ["train/UAB001b-RF.jpg"] and faults()["missing film"] == ["train/UAB001-RF"]


def test_a_failed_call_leaves_the_finished_set_and_no_temporary_files(raw):
    prepare("ra2dream", raw, "s")
    before = {p.name: p.read_bytes() for p in paths.work("s").iterdir()}
    edit(raw, lambda rows: rows.assign(LH_mcp_E__1="9"))
    with pytest.raises(UserError):
        prepare("ra2dream", raw, "s")
    assert {p.name: p.read_bytes() for p in paths.work("s").iterdir()} == before
    assert sorted(p.name for p in paths.work("s").parent.iterdir()) == [".facts", "s"]


HARD = {
    "no training.csv": (lambda raw: (raw / "train/training.csv").unlink(), "training.csv does not exist"),
    "no template.csv": (lambda raw: (raw / "test/template.csv").unlink(), "template.csv does not exist"),
    "no films": (lambda raw: [p.unlink() for p in (raw / "train").glob("*.jpg")], "holds no film"),
    "no test folder": (lambda raw: shutil.rmtree(raw / "test"), "test does not exist"),
    "empty csv": (lambda raw: (raw / "train/training.csv").write_text(""), "has no rows"),
    "spreadsheet": (lambda raw: (raw / "train/training.csv").write_bytes(b"PK\x03\x04\xff\xfe" * 50), "training.csv"),
    "ragged row": (
        lambda raw: (raw / "train/training.csv").open("a").write("UAB077,1\n"),
        "row 11 has 2 cells under 90 columns",
    ),
    "duplicate id": (lambda raw: edit(raw, lambda r: pd.concat([r, r[2:3]])), "UAB003 appears 2 times"),
    "id in both": (lambda raw: edit(raw, lambda r: r.replace("UAB004", "UAB101")), "UAB101 is in train"),
    "path as id": (lambda raw: edit(raw, lambda r: r.replace("UAB004", "../x")), "'../x' is not a plain id"),
    "unknown column": (
        lambda raw: edit(raw, lambda r: r.rename(columns={"LH_pip_E__2": "LH_pip_E_2"})),
        "did you mean LH_pip_E__2",
    ),
    "missing column": (lambda raw: edit(raw, lambda r: r.drop(columns="RF_mtp_J__ip")), "lacks column RF_mtp_J__ip"),
    "out of range": (
        lambda raw: edit(raw, lambda r: r.assign(LH_pip_J__2=["5"] + ["0"] * 8)),
        "UAB001 LH_pip_J__2 is '5', not a whole number from 0 to 4",
    ),
    "negative": (lambda raw: edit(raw, lambda r: r.assign(LH_pip_J__2="-1")), "and 8 more"),
    "not whole": (lambda raw: edit(raw, lambda r: r.assign(LH_pip_J__2="1.5")), "'1.5'"),
    "not a number": (lambda raw: edit(raw, lambda r: r.assign(LH_pip_J__2="inf")), "'inf'"),
    "too few patients": (lambda raw: edit(raw, lambda r: r[:2]), "cannot make 3 folds"),
    "broken boxes": (lambda raw: (raw / "train/joints.coco.json").write_text("{"), "not valid JSON"),
    "no annotations": (lambda raw: (raw / "train/joints.coco.json").write_text("{}"), "lacks the list 'images'"),
}


@pytest.mark.parametrize("name", HARD)
def test_untrustworthy_input_is_refused_with_place_and_cure(raw, name):
    spoil, message = HARD[name]
    spoil(raw)
    with pytest.raises(UserError) as error:
        prepare("ra2dream", raw, "s")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not paths.work("s").exists()


def test_minor_faults_are_counted_as_warnings(raw):
    train = raw / "train"
    (train / "UAB001-LH.jpg").unlink()
    data = (train / "UAB002-RH.jpg").read_bytes()
    (train / "UAB002-RH.jpg").write_bytes(data[: len(data) // 2])
    for part in anatomy.PARTS:
        (train / f"UAB003-{part}.jpg").unlink()
    shutil.copy(train / "UAB004-LH.jpg", train / "UAB999-LH.jpg")
    shutil.copy(train / "UAB004-LH.jpg", train / "UAB004-LH.JPEG")
    shutil.copy(train / "UAB004-LH.jpg", train / "scan12.jpg")
    edit(raw, lambda r: r.assign(Overall_Tol=["448", *r.Overall_Tol[1:]], LH_pip_J__2=["0"] * 8 + [""]))
    prepare("ra2dream", raw, "s")
    found = faults()
    assert found["missing film"] == ["train/UAB001-LH"]
    assert len(found["unreadable film"]) == 1 and "UAB002-RH.jpg" in found["unreadable film"][0]
    assert found["patient without films"] == ["train/UAB003"]
    assert found["film without a row"] == ["train/UAB999-LH.jpg", "train/scan12.jpg"]
    assert len(found["duplicate film"]) == 1
    assert any("UAB001 Overall_Tol is 448" in text for text in found["total differs from its parts"])
    films, sites = FILMS.read(paths.films("s")), SITES.read(paths.sites("s"))
    assert len(films) == 44 - 1 - 1 - 4 and len(sites) == 89 * 11
    overall = sites[(sites.patient_id == "UAB001") & (sites.finding == "total")]
    assert overall.target.tolist() == [448]
    cell = sites[(sites.patient_id == "UAB009") & (sites.part == "LH") & (sites.site == "pip_J__2")]
    assert cell.target.isna().all()
    with pytest.raises(UserError, match="--strict"):
        prepare("ra2dream", raw, "s", strict=True)


def test_a_person_stays_in_one_fold_and_visits_are_read(raw):
    people = [{"Patient_ID": p, "person_id": f"P{i // 3}", "visit": i % 3 + 1} for i, p in enumerate(TRAIN)]
    write_csv(raw / "train/people.csv", ("Patient_ID", "person_id", "visit"), people)
    prepare("ra2dream", raw, "s", n_folds=3)
    fold = folds.load("s")
    assert all(len(set(fold[TRAIN[3 * k : 3 * k + 3]])) == 1 for k in range(3)) and fold.nunique() == 3
    films = FILMS.read(paths.films("s")).set_index("film_id")
    assert films.visit["UAB006-LH"] == 3 and films.person_id["UAB006-LH"] == "P1"
    assert films.person_id["UAB101-LH"] == "UAB101"


RATINGEN_COLUMNS = ("Patient_ID", "part", "joint", "percent", "grade")


def ratingen_rows(*rows):
    return [dict(zip(RATINGEN_COLUMNS, row, strict=True)) for row in rows]


def test_ratingen_percentages_are_read(raw):
    rows = ratingen_rows(
        ("UAB001", "LH", "wrist", "37.5", "2"), ("UAB001", "RF", "mtp_5", "0", ""), ("UAB002", "LH", "mcp_2", "", "5"),
        ("UAB002", "LH", "mcp_3", "", "1"), ("UAB002", "LH", "mcp_4", "", "0"), ("UAB003", "LH", "mcp_4", "", ""),
        ("UAB004", "LH", "mcp_4", "50", "5"), ("UAB101", "LH", "mcp_4", "100", "5"), ("UAB777", "LH", "mcp_4", "10", "1"),
    )  # fmt: skip
    prepare("ra2dream", raw, "s")
    assert not paths.ratingen("s").exists()
    write_csv(raw / "train/ratingen.csv", RATINGEN_COLUMNS, rows)
    prepare("ra2dream", raw, "s")
    table = RATINGEN.read(paths.ratingen("s"))
    assert len(table) == 34 * 11 and set(table.split[table.patient_id.isin(TEST)]) == {"test"}
    scored = table.dropna().set_index(["patient_id", "part", "joint"]).percent
    assert scored.to_dict() == {
        ("UAB001", "LH", "wrist"): 37.5, ("UAB001", "RF", "mtp_5"): 0, ("UAB002", "LH", "mcp_2"): 90,
        ("UAB002", "LH", "mcp_3"): 10, ("UAB002", "LH", "mcp_4"): 0, ("UAB004", "LH", "mcp_4"): 50,
    }  # fmt: skip
    assert faults()["unknown patient in ratingen.csv"] == ["train/UAB101", "train/UAB777"]
    assert len(faults()["Ratingen grade differs from its percent"]) == 1
    edit(raw, lambda r: r.drop(columns="percent")[:2], "train/ratingen.csv")
    prepare("ra2dream", raw, "s")
    assert RATINGEN.read(paths.ratingen("s")).percent.dropna().tolist() == [30]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("UAB001", "HL", "mcp_2", "5", "1"), "row 3 (UAB001 HL mcp_2): part 'HL' is not one of LH, RH, LF, RF"),
        (("UAB001", "LF", "wrist", "5", "1"), "joint 'wrist' of part LF is not one of hallux_ip"),
        (("UAB001", "LH", "mcp_2", "101", ""), "percent is '101', not a number from 0 to 100"),
        (("UAB001", "LH", "mcp_2", "nano", ""), "percent is 'nano', not a number"),
        (("UAB001", "LH", "mcp_2", "", "1.5"), "grade is '1.5', not a whole number from 0 to 5"),
        (("UAB009", "RH", "wrist", "5", "1"), "scores its joint a second time"),
    ],
)
def test_untrustworthy_ratingen_rows_are_refused(raw, row, message):
    write_csv(raw / "train/ratingen.csv", RATINGEN_COLUMNS, ratingen_rows(("UAB009", "RH", "wrist", "5", "1"), row))
    with pytest.raises(UserError) as error:
        prepare("ra2dream", raw, "s")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_boxes_are_centres_in_the_upright_picture(raw):
    turned = Image.fromarray(picture(1)[:, ::-1].T)  # 60 wide, 40 high as stored
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(raw / "train/UAB001-LH.jpg", exif=exif)
    names = list(anatomy.ALL_JOINTS)
    boxes = [  # image, joint, bbox
        (0, "mcp_2", [10, 40, 6, 8]), (0, "mcp_2", [11, 41, 6, 8]), (0, "mtp_1", [10, 40, 6, 8]), (0, "mcp_3", [39, 20, 9, 9]),
        (0, "mcp_4", [5, 5, 0, 3]), (0, "mcp_5", [38, 57, 3.5, 5]), (1, "mcp_2", [1, 1, 4, 4]), (2, "hallux_ip", [3, 3, 4, 4]),
    ]  # fmt: skip
    files = ("UAB001-LH.jpg", "UAB777-LH.jpg", "UAB002-RF.jpg")
    coco = {
        "images": [{"id": i, "file_name": f"films/{name}", "width": 40, "height": 60} for i, name in enumerate(files)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "category_id": names.index(j), "bbox": b} for i, j, b in boxes],
    }
    (raw / "train/joints.coco.json").write_text(json.dumps(coco))
    prepare("ra2dream", raw, "s")
    table, found = BOXES.read(paths.truth_boxes("s")).set_index(["film_id", "joint"]), faults()
    assert FILMS.read(paths.films("s")).set_index("film_id").width_px["UAB001-LH"] == 40
    assert list(table.index) == [("UAB001-LH", "mcp_2"), ("UAB001-LH", "mcp_5"), ("UAB002-RF", "hallux_ip")]
    assert table.loc[("UAB001-LH", "mcp_2"), ["x_px", "y_px", "w_px", "h_px"]].tolist() == [13, 44, 6, 8]
    assert found["box of an unknown film"] == ["joints.coco.json names UAB777-LH.jpg"]
    assert len(found["box of an unknown joint"]) == 1 and len(found["duplicate box"]) == 1
    assert len(found["box outside its film"]) == 2 and len(found["film with too few boxes"]) == 36
    assert "size differs from the boxes' file" not in found
    shutil.move(raw / "train/joints.coco.json", raw / "joints.json")
    prepare("ra2dream", raw, "s")
    assert not paths.truth_boxes("s").exists(), "boxes of the older set must not stay"


def test_rsna_bone_age(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "rsna"
    (root / "boneage-training-dataset").mkdir(parents=True)
    rows = [{"id": f"{1370 + i}", "boneage": 30 * i, "male": str(i % 2 == 0)} for i in range(7)]
    write_csv(root / "boneage-training-dataset.csv", ("id", "boneage", "male"), rows)
    for row in rows[:6]:
        cv2.imwrite(str(root / "boneage-training-dataset" / f"{row['id']}.png"), picture(int(row["id"])))
    prepare("rsna_boneage", root, "s", n_folds=2)
    ages = BONE_AGE.read(paths.work("s") / "bone_age.parquet").set_index("film_id")
    assert ages.bone_age_months["1372-LH"] == 60 and ages.male["1372-LH"] == 1 and len(ages) == 6
    assert set(FILMS.read(paths.films("s")).patient_id) == set(folds.load("s").index) - {"1376"}
    assert faults()["missing film"] == ["1376.png"] and not paths.sites("s").exists()


def test_command_prints_one_sentence_and_returns_its_code(raw):
    def call(root):
        command = [sys.executable, "-m", "data.prepare", "--source", "ra2dream", "--data", "s", "--trust", "--root", str(root)]
        return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)

    ran = call(raw / "nowhere")
    assert ran.returncode == 1 and ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1
    ran = call(raw)
    assert ran.returncode == 0 and "9 train patients" in ran.stdout, ran.stderr


def test_prepared_films_are_the_files_that_were_read(raw):
    prepare("ra2dream", raw, "s")
    row = FILMS.read(paths.films("s")).iloc[5]
    assert film.read(row.path).shape == (row.height_px, row.width_px)
