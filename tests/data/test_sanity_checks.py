"""The check of every set: copies of films, people under two ids, unusual grades, headers, the contact sheet."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import contact_sheet, dicom_headers, file_cache, film_files, grade_distribution, prepare, sanity_checks
from data.issues import Report
from ra import anatomy, paths
from ra.config import UserError
from ra.imaging.dicom import Tags
from ra.tables import BOXES, FILM_ISSUES, FILMS
from tests.data.test_prepare import grades, picture, write_csv

HAND = {"laterality": "L", "part": "LH", "view": "PA"}


@pytest.fixture(autouse=True)
def data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))


def film_row(folder: Path, name: str, grey: np.ndarray, person: str, split: str = "train", quality: int = 95, **more) -> dict:
    path = folder / f"{name}.jpg"
    cv2.imwrite(str(path), grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    same = {"film_id": f"{name}-LH", "patient_id": name, "person_id": person, "visit": 1, "split": split, "path": str(path)}
    return {**same, **HAND, **more}


def checked(rows: list[dict]) -> Report:
    report = Report()
    films = FILMS.check(film_files.decode_all(rows, file_cache.cache_file("s"), report)).assign(file=lambda t: t.path)
    sanity_checks.same_films(films, file_cache.load(file_cache.cache_file("s")), report)
    return report


def test_copies_of_a_film_are_found_however_they_were_saved(tmp_path):
    first, second = (cv2.resize(picture(k), (400, 600)) for k in (1, 2))
    smaller = cv2.resize(first, (220, 330), interpolation=cv2.INTER_AREA)
    rows = [
        film_row(tmp_path, "a", first, "p"),
        film_row(tmp_path, "b", smaller, "p", quality=60),
        film_row(tmp_path, "c", np.clip(first * 1.1 + 5, 0, 255), "q", split="test"),
        film_row(tmp_path, "d", second, "r"),
        film_row(tmp_path, "e", second, "r"),
        film_row(tmp_path, "f", second[:, ::-1], "r"),
        film_row(tmp_path, "g", cv2.resize(picture(3), (400, 600)), "s"),
    ]
    found = checked(rows).faults
    assert sorted(found["same film twice"]) == [
        "a-LH and b-LH: one picture in two files",
        "d-LH and e-LH: the same file",
    ]
    assert [text[:13] for text in found["same film in train and test"]] == ["a-LH and c-LH", "b-LH and c-LH"]
    assert all(text.startswith("p and q share") for text in found["one person under two ids"])
    assert [text[:13] for text in found["same film mirrored"]] == ["d-LH and f-LH"]


def test_blank_films_are_not_called_copies(tmp_path):
    rows = [film_row(tmp_path, name, np.full((80, 60), grey, np.uint8), name) for name, grey in (("a", 40), ("b", 90), ("c", 91))]
    assert not checked(rows).faults


def test_the_hash_is_mirrored_with_the_picture():
    grey = picture(5, 200, 300)
    plain, mirrored = file_cache.bits(
        [file_cache.picture_hash(grey), file_cache.picture_hash(np.ascontiguousarray(grey[:, ::-1]))]
    )
    assert (plain[:, ::-1] != mirrored).mean() < 0.02 and (plain != mirrored).mean() > 0.1


def test_facts_are_cached_and_only_changed_files_are_decoded(tmp_path, monkeypatch):
    rows = [film_row(tmp_path, name, picture(k), name) for k, name in enumerate("abc")]
    films = [row["path"] for row in rows]
    before = file_cache.read_all(films, file_cache.cache_file("s"))
    with file_cache.cache_file("s").open("a") as stream:
        stream.write('{"version": 1, "path": "torn')  # a call was killed while it wrote this line
    cv2.imwrite(films[1], picture(9, 50, 70))
    read = []
    monkeypatch.setattr(file_cache, "_decode", lambda path, look=file_cache._decode: read.append(path) or look(path))
    after = file_cache.read_all(films, file_cache.cache_file("s"))
    assert read == [films[1]] and after[films[0]] == before[films[0]] and after[films[1]].width_px == 50
    assert len(file_cache.cache_file("s").read_text().splitlines()) == 3


def test_a_contradicting_header_refuses_a_film_unless_the_picture_decides(tmp_path):
    row = {"film_id": "a-LH", "patient_id": "a", "part": "LH", "path": "a.dcm"}
    foot, right, lateral = Tags(limb="foot"), Tags(limb="hand", laterality="R"), Tags(limb="hand", view="lateral")

    def reasons(tags, trust=False, **seen):
        return [(r["reason"], r["refused"]) for r in dicom_headers.contradictions({**row, **seen}, tags, trust)]

    assert reasons(foot) == [("wrong_limb", 1)] and reasons(foot, part_seen="LH") == [("wrong_limb", 0)]
    assert reasons(foot, trust=True) == [("wrong_limb", 0)] and reasons(right) == [("side_differs", 0)]
    assert reasons(lateral) == [("wrong_view", 1)] and reasons(lateral, view_seen="PA") == [("view_differs", 0)]
    assert reasons(Tags(limb="hand", laterality="L", view="AP")) == []
    report, gate = Report(), tmp_path / "film_issues.parquet"
    other = {**row, "film_id": "b-LH", "path": "b.dcm"}
    tags = {"a.dcm": foot, "b.dcm": replace(right, spacing_mm=0.14)}
    kept = dicom_headers.apply_headers([row, other], tags, gate, False, report)
    assert [(r["film_id"], r["spacing_mm"]) for r in kept] == [("b-LH", 0.14)]
    assert (
        FILM_ISSUES.read(gate).reason.tolist() == ["wrong_limb", "side_differs"]
        and len(report.faults["refused: wrong_limb"]) == 1
    )


def test_headers_and_ids_reveal_people_under_two_ids():
    people = [
        ("a", "P1", 1, "h1", "2001-02-03"), ("b", "P2", 1, "h1", "2001-02-03"), ("c", "P3", 1, "h2", None),
        ("d", "P3", 2, "h3", "2001-02-03"), ("e", "p-03", 1, None, None), ("f", "P30", 1, "h4", "2004-01-02"),
        ("g", "P30", 2, "h4", "2003-12-31"), ("h", "P2", 2, "h1", "2001-02-03"),
    ]  # fmt: skip
    films = pd.DataFrame([p[:3] for p in people], columns=["film_id", "person_id", "visit"]).assign(file=[p[0] for p in people])
    report = Report()
    sanity_checks.same_people(films, {name: Tags(person=person, date=date) for name, _, _, person, date in people}, report)
    assert report.faults["one person under two ids"] == ["P1 and P2: their DICOM headers name one person"]
    assert report.faults["one id for two persons"] == ["P3: its DICOM headers name 2 persons"]
    assert report.faults["ids that look alike"] == ["P3 and p-03"]
    assert [text[:4] for text in report.faults["visits out of order"]] == ["P30:"]


def test_identities_are_redacted():
    report = Report()
    report.identities = {"Doe", "12345678", "Doe^Jane"}
    report.warn("film without a row", "train/DOE_jane_12345678.dcm")
    report.notes.append("doe")
    output = f"{report} {json.dumps(report.as_dict())}"
    assert "<patient>_jane_<patient>.dcm" in output and "doe" not in output.lower() and "1234" not in output
    with pytest.raises(UserError, match="<patient>"):
        report.refuse_faults()


def test_a_name_in_a_dicom_file_reaches_no_report(tmp_path, capsys):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    root = ra2_root(tmp_path / "raw", {"train": [f"A{i}" for i in range(4)], "test": ["T"]}, 0)
    grey, film, meta = picture(99), Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.file_meta, film.SOPClassUID, film.SOPInstanceUID = meta, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    film.PatientName, film.PatientID, film.BodyPartExamined, film.ImageLaterality = "Muster^Erika", "4711-88", "HAND", "R"
    film.Rows, film.Columns, film.SamplesPerPixel, film.PhotometricInterpretation = *grey.shape, 1, "MONOCHROME2"
    film.BitsAllocated = film.BitsStored = 8
    film.HighBit, film.PixelRepresentation, film.PixelData = 7, 0, grey.tobytes()
    film.ImagerPixelSpacing = [0.15, 0.15]
    (root / "train/A0-LH.jpg").unlink()
    film.save_as(root / "train/A0-LH.dcm", enforce_file_format=True)
    film.save_as(root / "train/erika_MUSTER_4711-88.dcm", enforce_file_format=True)
    prepare.prepare("ra2dream", root, "s", 2, trust=True)
    row = FILMS.read(paths.films("s")).set_index("film_id").loc["A0-LH"]
    assert row.spacing_mm == pytest.approx(0.15) and row.laterality == "L"
    assert FILM_ISSUES.read(paths.work("s") / "film_issues.parquet").reason.tolist() == ["side_differs"]
    output = capsys.readouterr().out + (paths.work("s") / "report.json").read_text() + file_cache.cache_file("s").read_text()
    assert "<patient>" in output and not any(word in output.lower() for word in ("muster", "erika", "4711"))
    (root / "train/people.csv").write_text("Patient_ID,person_id,visit\nA0,Muster,x\n")
    with pytest.raises(UserError) as error:
        prepare.prepare("ra2dream", root, "s", 2, trust=True)
    assert "Muster" not in str(error.value)


def sites_of(table: np.ndarray) -> pd.DataFrame:
    """Sites rows of (patients, 86) grades."""
    rows = [
        {"patient_id": f"p{i}", "part": s.part, "site": s.site, "finding": s.finding, "target": grade, "split": "train"}
        for i, row in enumerate(table)
        for s, grade in zip(anatomy.SITES, row, strict=True)
    ]
    return pd.DataFrame(rows)


def test_published_figures_and_other_scales(tmp_path):
    assert all(sum(given) == 188 * n for given, n in zip(grade_distribution.GRADE_COUNTS.values(), (32, 12, 30, 12), strict=True))
    rng = np.random.default_rng(0)
    shares = {place: np.array(given) / sum(given) for place, given in grade_distribution.GRADE_COUNTS.items()}
    table = np.column_stack(
        [rng.choice(len(p), 400, p=p) for p in (shares[anatomy.limb(s.part), s.finding] for s in anatomy.SITES)]
    ).astype(float)
    feet = [i for i, s in enumerate(anatomy.SITES) if s.part[1] == "F"]

    def faults(grades: np.ndarray) -> list[str]:
        report = Report()
        grade_distribution.compare(tmp_path, sites_of(grades), report)
        return report.faults["unusual grades"]

    assert faults(table) == []
    written = pd.read_csv(tmp_path / "distribution.csv").set_index("figure")
    assert written.loc["total mean", "this set"] == pytest.approx(table.sum(1).mean(), abs=1e-3)
    assert written.loc["share of grade 1, hand erosion", "RA2-DREAM"] == pytest.approx(406 / 6016, abs=1e-4)
    halved = table.copy()
    halved[:, feet] = np.minimum(halved[:, feet], 5)
    assert len(faults(halved)) == 1 and "both sides" in faults(halved)[0]
    assert [f.split(" is only")[0] for f in faults(np.minimum(table, 1))] == [" ".join(place) for place in anatomy.MAX_GRADE]
    hands = table.copy()
    hands[:, feet] = np.nan
    assert faults(hands) == [] and np.isnan(grade_distribution.summary(hands)["total mean"])
    hands[:, feet] = 0
    assert [f.split(" is 0")[0] for f in faults(hands)] == ["foot erosion", "foot narrowing"]


def test_the_contact_sheet_shows_boxes_where_they_are(tmp_path):
    black = np.zeros((200, 160), np.uint8)
    rows = [film_row(tmp_path, f"x{k}", black, f"x{k}", split=("train", "test")[k % 3 == 2]) for k in range(30)]
    films = FILMS.check(pd.DataFrame(rows).assign(sha1="", width_px=160, height_px=200))
    box = {"joint": "mcp_2", "fold": -1, "x_px": 79.5, "y_px": 99.5, "w_px": 80, "h_px": 100, "conf": np.nan, "source": "truth"}
    boxes = BOXES.check(pd.DataFrame([{**box, "film_id": film_id} for film_id in films.film_id]))
    contact_sheet.write(films, boxes, None, str.upper, tmp_path / "contact.png")
    sheet = np.asarray(Image.open(tmp_path / "contact.png"))
    green = np.argwhere((sheet == contact_sheet.COLOURS["truth"]).all(2))
    first = green[(green[:, 0] < 400) & (green[:, 1] < 330)] - contact_sheet.GAP_PX
    assert (first.min(0) == (100, 80)).all() and (abs(first.max(0) - (300, 240)) <= 1).all(), "half the film, in its middle"
    labels = contact_sheet.choose(films, pd.Series(np.arange(30.0), films.index))
    assert len(labels) == 20 and films.split[labels].value_counts().to_dict() == {"train": 10, "test": 10}
    assert {29, 0} & set(labels) and contact_sheet.choose(films, pd.Series(np.arange(30.0), films.index)) == labels


def ra2_root(root: Path, ids: dict[str, list[str]], seed: int, hands_only: bool = False) -> Path:
    """Write an RA2-DREAM folder; with hands_only, feet have no scores."""
    number = iter(range(seed, seed + 1000))
    for split, patients in ids.items():
        (root / split).mkdir(parents=True)
        for patient in patients:
            for part in anatomy.PARTS:
                cv2.imwrite(str(root / split / f"{patient}-{part}.jpg"), picture(next(number)))
    scores = [{"Patient_ID": p, **grades(seed + i)} for i, p in enumerate(ids["train"])]
    if hands_only:
        scores = [{c: v for c, v in row.items() if c == "Patient_ID" or c[1] == "H"} for row in scores]
    write_csv(root / "train/training.csv", anatomy.COLUMNS_A, scores)
    write_csv(root / "test/template.csv", anatomy.COLUMNS_B, [{"Patient_ID": p} for p in ids["test"]])
    return root


def test_a_killed_call_leaves_no_set_and_resumes(tmp_path):
    ids = {"train": [f"A{i}" for i in range(12)], "test": ["T"]}
    root = ra2_root(tmp_path / "raw", ids, 0)
    call = (
        "import time, data.file_cache as f; decode = f._decode; f._decode = lambda p: (time.sleep(0.1), decode(p))[1]; "
        f"from data.prepare import prepare; prepare('ra2dream', {str(root)!r}, 's', trust=True)"
    )
    killed = subprocess.Popen([sys.executable, "-c", call], cwd=paths.ROOT, env=os.environ | {"PYTHONPATH": str(paths.ROOT)})
    kept, deadline = file_cache.cache_file("s"), time.monotonic() + 30
    while not (kept.is_file() and len(kept.read_text().splitlines()) >= 8) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not paths.work("s").exists() and 8 <= len(file_cache.load(kept)) < 52
    prepare.prepare("ra2dream", root, "s", trust=True)
    prepare.prepare("ra2dream", root, "whole", trust=True)
    assert sorted(p.name for p in paths.work("s").parent.iterdir()) == [".facts", "s", "whole"]
    for path in paths.work("whole").iterdir():
        if path.name not in ("run.json", "report.json"):
            assert path.read_bytes() == (paths.work("s") / path.name).read_bytes(), path.name


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_set_killed_while_it_is_replaced_is_complete_after_the_next_call(tmp_path, monkeypatch, moment):
    """The call is killed before the rename of the old set, of the new set, or of the old set's run into the new set."""
    root = ra2_root(tmp_path / "raw", {"train": [f"A{i}" for i in range(4)], "test": ["T"]}, 0)
    prepare.prepare("ra2dream", root, "s", 2, trust=True)
    run = paths.run_dir("s", 2, "resnet")
    run.mkdir(parents=True)
    target, rename, left = paths.work("s"), Path.replace, [moment]

    def killing(self, to):
        inside = self == target or Path(to) == target or Path(to).parent == target
        if inside and not left[0]:
            raise KeyboardInterrupt
        left[0] -= inside
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", killing)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare("ra2dream", root, "s", 2, seed=1, trust=True)
    monkeypatch.setattr(Path, "replace", rename)
    prepare.prepare("ra2dream", root, "s", 2, seed=1, trust=True)
    assert run.is_dir() and json.loads((target / "run.json").read_text())["seed"] == 1
    assert sorted(p.name for p in target.parent.iterdir()) == [".facts", "s"]
