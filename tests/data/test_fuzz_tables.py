"""2,000 damaged copies of every table of RA2-DREAM, RAM-H1200 and RSNA Bone Age: refused in a sentence, or read as written."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data.annotations import boxes
from data.issues import Report
from data.sources import ra2dream, ram_h1200, rsna_boneage
from ra import anatomy
from ra.config import UserError
from ra.tables import FILMS
from tests.data.test_prepare import grades, picture, write_csv

pytestmark = pytest.mark.slow
ROUNDS = 2000
EMPTY = ("", "na", "nan", "n/a")
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
WORDS = (
    "", "NA", "-1", "0", "1.0", "1e0", "1e999", "1_0", "٣", "5", "11", "4.5", "-0", "inf", "nan", "x", '"', "'", "=1+1", "\x00",
    "0x1", "UAB001", "../x", "LH", "mcp_2", "True", "1,5", " 2 ", "1" * 400, "[1]", "null", "{}", "1e-400", "９", "2\n3",
)  # fmt: skip
LETTERS = (0, 9, 10, 13, 34, 44, 59, 92, 123, 91, 200, 0x85, 0x2028, 0xFEFF, 0x1F600, 0xD800)


def damaged(rng: np.random.Generator, text: str, comma: str) -> bytes:
    """One to three changes of cells, rows, columns, characters or bytes; `comma` separates the cells."""
    for _ in range(rng.integers(1, 4)):
        lines = [line.split(comma) for line in text.split("\n")]
        i, kind = int(rng.integers(len(lines))), rng.integers(9)
        j = int(rng.integers(len(lines[i])))
        if kind <= 3:
            lines[i][j] = WORDS[rng.integers(len(WORDS))]
        elif kind == 4:
            lines.insert(int(rng.integers(len(lines) + 1)), list(lines[i]))
        elif kind == 5:
            del lines[i][j]
        elif kind == 6:
            at = int(rng.integers(len(lines[i])))
            lines[i][j], lines[i][at] = lines[i][at], lines[i][j]
        text = "\n".join(comma.join(line) for line in lines)
        if kind == 7 and text:
            at = int(rng.integers(len(text)))
            text = text[:at] + chr(LETTERS[rng.integers(len(LETTERS))]) + text[at + int(rng.integers(3)) :]
        elif kind == 8:
            text = text[: int(rng.integers(len(text) + 1))]
    encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"], p=[0.9, 0.04, 0.03, 0.03])
    data = bytearray(text.encode(encoding, errors="replace" if encoding == "latin-1" else "surrogatepass"))
    for at in rng.integers(0, len(data) + 1, rng.integers(1, 3) if rng.random() < 0.2 else 0):
        data[at : at + 1] = bytes([rng.integers(256)])
    return bytes(data)


def fuzz(path: Path, read: Callable[[], object], same: Callable[[object, str], bool], comma: str = ",") -> None:
    """Read ROUNDS damaged copies of a file; `same` decides whether the result equals the content of the copy."""
    whole, rng, accepted = path.read_text(), np.random.default_rng(0), 0
    assert same(read(), whole)
    for number in range(ROUNDS):
        data = damaged(rng, whole, comma)
        path.write_bytes(data)
        try:
            found = read()
        except UserError as error:
            assert "\n" not in str(error) and 20 < len(str(error)) < 600, (number, str(error))
            continue
        except Exception as error:
            raise AssertionError(f"{path.name}, copy {number}: {type(error).__name__}: {error}\n{data[-800:]!r}") from error
        accepted += 1
        assert same(found, data.decode("utf-8-sig")), (number, data[-800:])
    path.write_text(whole)
    assert 20 < accepted < ROUNDS - 20, "neither all nor none"


def cells(text: str) -> list[dict[str, str]]:
    """Rows of a table, read by other code than that of data.csv_input."""
    rows = csv.reader(io.StringIO(text, newline=""))
    table = [[cell.strip() for cell in row] for row in rows if any(row)]
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def value(cell: str) -> float:
    """The number in a cell, NaN if empty; infinite for any other text, which no table may contain."""
    return np.nan if cell.lower() in EMPTY else float(cell) if PLAIN.fullmatch(cell) else np.inf


def equal(found: dict, wanted: dict) -> bool:
    return found.keys() == wanted.keys() and all(found[k] == w or (np.isnan(found[k]) and np.isnan(w)) for k, w in wanted.items())


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two training patients and one test patient, with one film of each."""
    root = tmp_path_factory.mktemp("ra2")
    ids = {"train": ["UAB001", "UAB002"], "test": ["UAB101"]}
    for split, patients in ids.items():
        (root / split).mkdir()
        for k, patient in enumerate(patients):
            cv2.imwrite(str(root / split / f"{patient}-LH.jpg"), picture(k))
    write_csv(
        root / "train/training.csv", anatomy.COLUMNS_A, [{"Patient_ID": p, **grades(i)} for i, p in enumerate(ids["train"])]
    )
    write_csv(root / "test/template.csv", anatomy.COLUMNS_B, [{"Patient_ID": p} for p in ids["test"]])
    people = [{"Patient_ID": p, "person_id": "P1", "visit": i + 1} for i, p in enumerate(ids["train"])]
    write_csv(root / "train/people.csv", ("Patient_ID", "person_id", "visit"), people)
    joints = [("UAB001", "LH", "wrist", "37.5", "2"), ("UAB002", "RF", "mtp_5", "", "4"), ("UAB002", "LH", "mcp_2", "0", "")]
    columns = ("Patient_ID", "part", "joint", "percent", "grade")
    write_csv(root / "train/ratingen.csv", columns, [dict(zip(columns, row, strict=True)) for row in joints])
    for path in root.rglob("*.csv"):
        path.write_text(path.read_text().replace("\r\n", "\n"))
    return root


def sites_of(raw) -> dict:
    table = raw.tables["sites.parquet"][1]
    column = [anatomy.OVERALL[row.finding] if row.part == "ALL" else f"{row.part}_{row.site}" for row in table.itertuples()]
    return dict(zip(zip(table.patient_id, column, strict=True), table.target, strict=True))


def test_training_csv(root):
    def same(raw, text: str) -> bool:
        wanted = {(r["Patient_ID"], c): value(r[c]) for r in cells(text) for c in anatomy.COLUMNS_A[1:]}
        return equal({key: t for key, t in sites_of(raw).items() if key[0] != "UAB101"}, wanted)

    fuzz(root / "train/training.csv", lambda: ra2dream.read(root, Report()), same)


def test_template_csv(root):
    def same(raw, text: str) -> bool:
        ids = {r["Patient_ID"] for r in cells(text)}
        found = {key: t for key, t in sites_of(raw).items() if key[0] not in ("UAB001", "UAB002")}
        return {key[0] for key in found} == ids and all(np.isnan(t) for t in found.values())

    fuzz(root / "test/template.csv", lambda: ra2dream.read(root, Report()), same)


def test_people_csv(root):
    def same(raw, text: str) -> bool:
        table = raw.tables["sites.parquet"][1].drop_duplicates("patient_id").set_index("patient_id")
        written = {r["Patient_ID"]: r for r in cells(text)}
        return all(
            (table.person_id[p], table.visit[p])
            == (
                (written[p]["person_id"] or p, 1 if np.isnan(value(written[p]["visit"])) else value(written[p]["visit"]))
                if p in written
                else (p, 1)
            )
            for p in ("UAB001", "UAB002")
        )

    fuzz(root / "train/people.csv", lambda: ra2dream.read(root, Report()), same)


def test_ratingen_csv(root):
    middle = (0, 10, 30, 50, 70, 90)

    def same(raw, text: str) -> bool:
        table = raw.tables["ratingen.parquet"][1].dropna()
        wanted = {}
        for row in cells(text):
            percent, grade = (value(row.get(name, "")) for name in ("percent", "grade"))
            percent = middle[int(grade)] if np.isnan(percent) and not np.isnan(grade) else percent
            if row["Patient_ID"] in ("UAB001", "UAB002") and not np.isnan(percent):
                wanted[row["Patient_ID"], row["part"], row["joint"]] = percent
        return equal(dict(zip(zip(table.patient_id, table.part, table.joint, strict=True), table.percent, strict=True)), wanted)

    fuzz(root / "train/ratingen.csv", lambda: ra2dream.read(root, Report()), same)


def test_boneage_csv(tmp_path):
    (tmp_path / "boneage-training-dataset").mkdir()
    rows = [{"id": f"{1370 + i}", "boneage": 30 * i, "male": str(i % 2 == 0)} for i in range(5)]
    write_csv(tmp_path / "boneage-training-dataset.csv", ("id", "boneage", "male"), rows)
    cv2.imwrite(str(tmp_path / "boneage-training-dataset/1371.png"), picture(0))

    def same(raw, text: str) -> bool:
        table = raw.tables["bone_age.parquet"][1]
        written = {f"{r['id']}-LH": (value(r["boneage"]), float(r["male"].lower() in ("true", "1"))) for r in cells(text)}
        found = dict(zip(table.film_id, zip(table.bone_age_months, table.male, strict=True), strict=True))
        return found == {film: v for film, v in written.items() if not np.isnan(v[0])}

    fuzz(tmp_path / "boneage-training-dataset.csv", lambda: rsna_boneage.read(tmp_path, Report()), same)


def test_joints_coco_json(tmp_path):
    parts = ("LH", "RF")
    films = FILMS.check(
        pd.DataFrame(
            {
                "film_id": f"a-{part}", "patient_id": "a", "person_id": "a", "visit": 1, "part": part, "view": "PA",
                "laterality": part[0], "path": str(tmp_path / f"a-{part}.jpg"), "sha1": "", "width_px": 300, "height_px": 400,
                "split": "train",
            }
            for part in parts
        )
    )  # fmt: skip
    joints = [("mcp_2", 0, [10.5, 40, 60, 80]), ("wrist_radius", 0, [110, 240, 60, 80]), ("mtp_1", 1, [110, 40.25, 60, 80])]
    coco = {
        "images": [{"id": i, "file_name": f"a-{part}.jpg", "width": 300, "height": 400} for i, part in enumerate(parts)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(anatomy.ALL_JOINTS)],
        "annotations": [{"image_id": i, "category_id": anatomy.ALL_JOINTS.index(j), "bbox": box} for j, i, box in joints],
    }
    path = tmp_path / "joints.coco.json"
    path.write_text(json.dumps(coco).replace("}, ", "},\n"))

    def same(found, text: str) -> bool:
        written = json.loads(text)
        names = {str(c["id"]): c["name"] for c in written["categories"]}
        images = {str(i["id"]): Path(str(i["file_name"])).stem for i in written["images"]}
        known = {
            (images.get(str(n["image_id"])), names.get(str(n["category_id"])), *map(float, n["bbox"]))
            for n in written["annotations"]
            if isinstance(n["bbox"], list) and len(n["bbox"]) == 4 and all(isinstance(v, (int, float, str)) for v in n["bbox"])
        }
        return all(
            any(
                film == row.film_id and joint == row.joint and np.allclose((x + w / 2, y + h / 2, w, h), box)
                for film, joint, x, y, w, h in known
            )
            for row in found.itertuples()
            for box in [(row.x_px, row.y_px, row.w_px, row.h_px)]
        )

    fuzz(path, lambda: boxes.read((path,), films, Report()), same, comma=" ")


def test_ram_h1200_scores(tmp_path):
    """The only JSON file of grades: no grade is read that the file does not contain."""
    cases = [f"JP_A_P000{n}_20120103_58_{side}" for n in (1, 2) for side in "LR"]
    regions = ("MCP-T", "MCP-I", "PIP-I", "R", "S")
    scores = {f"{case}.bmp": {f"BE_{region}": (i + k) % 6 for k, region in enumerate(regions)} for i, case in enumerate(cases)}
    folder = tmp_path / "train"
    folder.mkdir()
    for i, case in enumerate(cases):
        cv2.imwrite(str(folder / f"{case}.bmp"), picture(i))
    (folder / "_annotation_be_scores.json").write_text(json.dumps(scores, indent=0))

    def same(raw, text: str) -> bool:
        written = [str(grade) for case in json.loads(text).values() for grade in case.values()]
        found = raw.tables["sites.parquet"][1].target.dropna()
        return len(found) <= len(written) and set(found) <= {value(grade) for grade in written}

    fuzz(folder / "_annotation_be_scores.json", lambda: ram_h1200.read(tmp_path, Report()), same)
