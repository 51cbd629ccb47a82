"""Films with totals of the hands: accepted and refused tables, and the steps from raw films to a table of totals."""

from __future__ import annotations

import csv
import io
import json
import re

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from data import combine, screening, sources
from data import prepare as verb
from data.film_files import VIEWS
from data.issues import Report
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from data.sources import hand_totals
from evaluation import results
from ra import config, folds, paths
from ra.anatomy import BOTH_HANDS, HAND_JOINTS, SITES, limb
from ra.config import UserError
from ra.imaging import film
from ra.tables import FILMS
from ra.tables import SITES as SITES_TABLE
from stage2_score import pictures, scores, train, whole_films
from stage2_score.config import Member
from stage3_stack import intervals, submit
from stage3_stack import train as train_stack
from stage3_stack.config import HandTotals
from tests.data.test_prepare import picture
from tests.stage3_stack.test_stack import call

CONFIGS = paths.ROOT / "configs/hand_totals"
ROLES = {"file": "image", "total": "SHS"}
NAMES = ROLES | {"erosion": "ero", "narrowing": "jsn", "patient": "case", "date": "taken", "age": "years"}
SITE_KEYS = combine.SITE_KEYS["sites.parquet"]
BOTH = ["ward a/IMG 1.png", "ward a/IMG 2.PNG", "IMG 3.png", "b/IMG 4.png", "b/c/IMG 5.png"]
SINGLE = ["IMG 6-LH.png", "7-LH.png", "7-RH.png"]
HEADER = "image,SHS,ero,jsn,case,taken,years,sex,remark"
TABLE = f"""{HEADER}
IMG 1,12.5,10,2.5,ann,2012-04-03,61,F,
IMG 2.png,280,160,120,ann,3.4.2010,59,f,second reader away
IMG 3,0,0,0,bob,,40,M,
b\\IMG 4.png,30,,,,,,m,
c/IMG 5,40.25,,,cyd,2001-01-01,,,
IMG 6-LH,70,40,30,dan,,,,
7,,,,eve,,,,
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Seven rows: five films of both hands (ovals), one of a left hand, one pair; the last row has no total."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "films"
    for i, name in enumerate([*BOTH, *SINGLE]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.hstack([picture(i)] * (2 if name in BOTH else 1)))
    (root / "totals 2024.csv").write_text(TABLE)
    return root


def read(root, **names) -> tuple[sources.Raw, Report]:
    report = Report()
    return hand_totals.read(root, report, sources.columns(hand_totals, names or NAMES)), report


def halves(rows: list[dict], issues_file, report) -> list[dict]:
    """A substitute for stage 1: an undeclared film shows a left hand on its left half and a right hand on its right half."""
    del issues_file, report
    out = []
    for row in rows:
        width, height = film.size(row["path"])
        for i, part in enumerate([row["part"]] if row["part"] else ["LH", "RH"]):
            n = 1 if row["part"] else 2
            frame = {"left_px": i * width // n, "top_px": 0, "width_px": width // n, "height_px": height, "turns": 0}
            named = {"film_id": f"{row['patient_id']}-{part}", "part": part, "part_seen": part, "laterality": part[0]}
            out.append(row | named | frame | {"view": VIEWS[limb(part)]})
    return out


@pytest.fixture
def screened(monkeypatch):
    """Screening with `halves` in place of the detector."""
    monkeypatch.setattr(screening, "resolve_limbs", halves)


def prepare(root, **more):
    verb.prepare("hand_totals", root, "s", columns=NAMES, **more)


def test_rows_find_their_films_persons_and_visits(root):
    raw, report = read(root)
    assert [(f["patient_id"], f["part"]) for f in raw.films] == [
        *((f"IMG {i}", None) for i in range(1, 6)), ("IMG 6-LH", "LH"), ("7", "LH"), ("7", "RH"),
    ]  # fmt: skip
    people = {f["patient_id"]: (f["person_id"], f["visit"], f["split"]) for f in raw.films}
    assert people["IMG 1"] == ("ann", 2, "train") and people["IMG 2"] == ("ann", 1, "train")
    assert people["IMG 4"] == ("IMG 4", 1, "train") and people["7"] == ("eve", 1, "test")
    assert raw.patients.set_index("patient_id").total.to_dict() == {
        "IMG 1": 12.5, "IMG 2": 280, "IMG 3": 0, "IMG 4": 30, "IMG 5": 40.25, "IMG 6-LH": 70,
    }  # fmt: skip
    assert report.counts["rows with an age"] == 3 and (report.counts["women"], report.counts["men"]) == (2, 2)
    assert not report.faults


@pytest.mark.usefixtures("screened")
def test_a_film_of_both_hands_becomes_two_and_keeps_its_total(root):
    prepare(root)
    films, sites = FILMS.read(paths.films("s")), SITES_TABLE.read(paths.sites("s"))
    assert set(films.part[films.patient_id == "IMG 1"]) == {"LH", "RH"} and len(films) == 13
    found = sites.set_index(["patient_id", "part", "finding"]).target
    assert found["IMG 1", BOTH_HANDS, "total"] == 12.5 and found["IMG 1", BOTH_HANDS, "narrowing"] == 2.5
    assert found["IMG 6-LH", "LH", "total"] == 70 and "IMG 6-LH" not in sites.patient_id[sites.part == BOTH_HANDS].tolist()
    assert np.isnan(found["7", BOTH_HANDS, "total"]) and np.isnan(found["IMG 4", BOTH_HANDS, "erosion"])
    assert len(folds.load("s")) == 6 and not (paths.work("s") / "gold.parquet").exists()


def test_a_total_of_two_hands_is_not_used_for_one_hand(root, monkeypatch):
    """If the other hand was refused, the total is still that of both hands, and the film gives no picture of a pair."""
    refused = ("IMG 1-RH", "7-RH")
    monkeypatch.setattr(screening, "resolve_limbs", lambda *args: [row for row in halves(*args) if row["film_id"] not in refused])
    prepare(root)
    films, sites = FILMS.read(paths.films("s")), SITES_TABLE.read(paths.sites("s"))
    assert sites.part[sites.patient_id.isin(["IMG 1", "7"])].eq(BOTH_HANDS).all()
    assert json.loads((paths.work("s") / "report.json").read_text())["faults"]["one of two hands"] == ["IMG 1", "7"]
    assert whole_films.half_pairs(films, sites) == {"IMG 1", "7"}
    call(pictures, str(CONFIGS / "pictures"), "--data", "s", "--profile", "smoke")
    index = pd.read_parquet(paths.run_dir("s", 2, "films") / "hands.parquet")
    assert sorted(index.patient_id) == ["IMG 2", "IMG 3", "IMG 4", "IMG 5", "IMG 6-LH"]


@pytest.mark.usefixtures("screened")
def test_totals_and_grades_of_sites_can_be_in_one_set(root):
    """After two sets are combined, it is still known which hands a film shows, and no patient has a total that was not given."""
    prepare(root)
    patient = {"patient_id": "p", "person_id": "p", "visit": 1, "split": "train", "target": 1.0}
    graded = [{**patient, **{key: getattr(site, key) for key in SITE_KEYS}} for site in SITES]
    both = pd.concat([SITES_TABLE.read(paths.sites("s")), pd.DataFrame(graded)], ignore_index=True)
    both = SITES_TABLE.check(combine.with_unscored_rows(both, both.drop_duplicates("patient_id"), SITE_KEYS))
    found = scores.hands_totals(both).set_index("patient_id").target
    assert found["p"] == 62 and found["IMG 1"] == 12.5 and found["IMG 6-LH"] == 70 and np.isnan(found["7"]) and len(found) == 8
    lone = pd.DataFrame([{"patient_id": patient, "part": "LH"} for patient in ("p", "IMG 1", "IMG 6-LH")])
    assert whole_films.half_pairs(lone, both) == {"IMG 1"}


@pytest.mark.usefixtures("screened")
def test_a_split_keeps_the_test_totals_for_the_end(root):
    split = iter(["train", "validation", "Train", "val", "test", "train", "train"])
    text = re.sub(r"(?m)^(.+)$", lambda m: m[1] + "," + (next(split) if m[1] != HEADER else "split"), TABLE)
    (root / "totals 2024.csv").write_text(text)
    prepare(root)
    sites, gold = (SITES_TABLE.read(path) for path in (paths.sites("s"), paths.work("s") / "gold.parquet"))
    assert sites.target[sites.split == "test"].isna().all() and set(sites.patient_id[sites.split == "test"]) == {"IMG 5"}
    assert gold[gold.finding == "total"].target.tolist() == [40.25]
    assert set(folds.load("s").index) == {"IMG 1", "IMG 2", "IMG 3", "IMG 4", "IMG 6-LH", "7"}


def swap(old: str, new: str):
    """The table with one text replaced by another."""
    return lambda root: (root / "totals 2024.csv").write_text(TABLE.replace(old, new))


def table(text: str):
    return lambda root: (root / "totals 2024.csv").write_text(text)


REFUSED = {
    "no table": (lambda root: (root / "totals 2024.csv").unlink(), {}, "holds no CSV file"),
    "two tables": (lambda root: (root / "b/old.csv").write_text(TABLE), {}, "holds 2 CSV files (old.csv, totals 2024.csv)"),
    "no films": (lambda root: [p.unlink() for p in root.rglob("*.[pP][nN][gG]")], {}, "holds no film"),
    "empty table": (table(""), {}, "has no rows"),
    "only a header": (table(HEADER), {}, "has no rows"),
    "semicolons": (table(TABLE.replace(",", ";")), {}, "has no commas"),
    "misnamed": (swap("", ""), {"total": "shs"}, "has no column 'shs', but 'SHS'; add --column total='SHS', or rename it"),
    "optional, but named": (swap("", ""), {"age": "yeers"}, "has no column 'yeers', but 'years'"),
    "quite another name": (swap("", ""), {"total": "score"}, "has no column 'score'; it has 'image', 'SHS'"),
    "unknown role": (swap("", ""), {"totals": "SHS"}, "--column totals: unknown; one of file, total"),
    "text in total": (swap("12.5,", "twelve,"), {}, "IMG 1 total is 'twelve', not a number from 0 to 280"),
    "total out of range": (swap("12.5,", "280.5,"), {}, "IMG 1 total is '280.5'"),
    "negative": (swap("12.5,", "-1,"), {}, "IMG 1 total is '-1'"),
    "infinite": (swap("12.5,", "1e999,"), {}, "IMG 1 total is '1e999'"),
    "underscore": (swap("12.5,", "1_2,"), {}, "IMG 1 total is '1_2'"),
    "erosion out of range": (swap("280,160", "280,161"), {}, "IMG 2.png erosion is '161', not a number from 0 to 160"),
    "age": (swap(",61,", ",1961,"), {}, "IMG 1 age is '1961', not a number from 0 to 120"),
    "sex": (swap(",40,M", ",40,2"), {}, "IMG 3 sex is '2'; write f or m"),
    "date": (swap("2012-04-03", "03/04/2012"), {}, "IMG 1 date is '03/04/2012'; write it as 2012-04-03"),
    "same film twice": (swap("IMG 3,", "IMG 2,"), {}, "IMG 2.png and IMG 2 are the same film"),
    "two films": (lambda root: (root / "b/c/IMG 4.png").write_bytes(b"x") and swap("b\\IMG 4", "IMG 4")(root), {},
                  "IMG 4.png may be b/IMG 4.png and b/c/IMG 4.png; write it with its folder"),
    "no name": (swap("IMG 3,", ","), {}, "has a row without a film's name"),
    "ragged": (swap("70,40,30", "70,40"), {}, "row 7 has 8 cells under 9 columns"),
    "no row fits": (swap("IMG ", "scan"), {"file": "remark"}, "has a row without a film's name"),
    "other names": (lambda root: [p.rename(p.with_name(f"x{p.name}")) for p in root.rglob("*.[pP][nN][gG]")], {},
                    "no row names a film of a hand, the first names IMG 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_untrustworthy_tables_are_refused_with_the_place_of_the_fault(root, name):
    spoil, names, message = REFUSED[name]
    spoil(root)
    with pytest.raises(UserError) as error:
        read(root, **(NAMES | names))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.usefixtures("screened")
def test_minor_faults_are_counted(root):
    (root / "IMG 3.png").unlink()
    cv2.imwrite(str(root / "9-RF.png"), picture(9))
    cv2.imwrite(str(root / "new.png"), picture(10))
    text = TABLE.replace("280,160,120", "279,160,120").replace("70,40,30", "141,40,30") + "9-RF,3,,,,,,,\n"
    (root / "totals 2024.csv").write_text(text)
    prepare(root)
    found = json.loads((paths.work("s") / "report.json").read_text())["faults"]
    assert found["row without a film"] == ["IMG 3"] and found["film without a row"] == ["new.png"]
    assert found["film of a foot"] == ["9-RF"]
    assert found["total differs from its parts"][0] == "IMG 2.png total is 279, its parts 280"
    assert found["total above one hand's maximum"] == ["IMG 6-LH total 141"]
    sites = SITES_TABLE.read(paths.sites("s")).set_index(["patient_id", "finding"]).target
    assert np.isnan(sites["IMG 6-LH", "total"]) and sites["IMG 6-LH", "erosion"] == 40 and sites["IMG 3", "total"] == 0
    with pytest.raises(UserError, match="--strict"):
        prepare(root, strict=True)


def test_films_with_the_same_name_have_their_folder_in_their_id(root):
    (root / "b/c/IMG 5.png").rename(root / "b/c/IMG 4.png")
    swap("c/IMG 5", "c/IMG 4")(root)
    raw, _ = read(root)
    assert [f["patient_id"] for f in raw.films][3:5] == ["b_IMG 4", "b_c_IMG 4"]


def write_dicom(path, grey: np.ndarray, **tags) -> None:
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", pydicom.uid.generate_uid()
    header.Rows, header.Columns = grey.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelData = 7, grey.tobytes()
    for name, value in tags.items():
        setattr(header, name, value)
    header.save_as(path, enforce_file_format=True)


@pytest.mark.usefixtures("screened")
def test_a_header_gives_person_and_date_and_the_identity_is_redacted(root, capsys):
    identity = {"PatientName": "Doe^Jane", "PatientID": "KH4711", "PatientBirthDate": "19610203"}
    for day, name in (("20120403", "KH4711 b"), ("20100403", "jane_doe a")):
        write_dicom(root / f"{name}.dcm", np.hstack([picture(1), picture(2)]), StudyDate=day, **identity)
    write_dicom(root / "scan 9.dcm", np.hstack([picture(3)] * 2), StudyDate="20120403", PatientID="KH0815", PatientName="Roe^X")
    (root / "totals 2024.csv").write_text(TABLE + "KH4711 b,10,,,,,,,\njane_doe a,20,,,,,,,\nscan 9,30,,,zoe,,,,\n")
    prepare(root)
    films = FILMS.read(paths.films("s"))
    first, second, other = (films[films.path.str.contains(name)].iloc[0] for name in ("jane_doe", "KH4711", "scan"))
    assert first.person_id == second.person_id != other.person_id == "zoe" and (first.visit, second.visit) == (1, 2)
    assert first.patient_id != second.patient_id and second.patient_id == f"{second.person_id} b"
    output = capsys.readouterr().out + films.drop(columns="path").to_string() + SITES_TABLE.read(paths.sites("s")).to_string()
    output += (paths.work("s") / "report.json").read_text()
    assert not re.search("4711|doe|jane|1961", output, re.IGNORECASE)


def mutate(text: bytes, rng: np.random.Generator) -> bytes:
    """A damaged copy of a table: bytes, cells, commas, encodings."""
    data = bytearray(text)
    kind = int(rng.integers(9))
    where = int(rng.integers(len(data)))
    odd = [b"1e308", b"nan", b"-inf", b"", b"9" * 400, b"1_0", b"0x10", "\u0661\u0662".encode(), b"..", b"../../etc", b'"', b"\0"]
    if kind == 0:
        for place in rng.integers(len(data), size=rng.integers(1, 6)):
            data[place] = int(rng.integers(256))
    elif kind == 1:
        del data[where : where + int(rng.integers(1, 40))]
    elif kind == 2:
        data[where:where] = [b",", b"\n", b"\r", b'"', b";", b"\t"][rng.integers(6)]
    elif kind == 3:
        data = data[:where]
    elif kind in (4, 5, 6):
        lines = [line.split(b",") for line in bytes(data).splitlines()]
        one, two = (lines[rng.integers(len(lines))] for _ in range(2))
        i, j = rng.integers(len(one)), rng.integers(len(two))
        if kind == 4:
            one[i], two[j] = two[j], one[i]
        else:
            one[i] = odd[rng.integers(len(odd))]
        data = b"\n".join(b",".join(line) for line in lines)
    elif kind == 7:
        encoding = ["utf-16", "latin-1", "utf-8-sig", "utf-32", "cp1252"][rng.integers(5)]
        data = text.decode("utf-8", "replace").encode(encoding, "replace")
    else:
        data = data[:where] + data[int(rng.integers(len(data))) :]
    return bytes(data)


def test_damaged_tables_are_refused_or_read_exactly(root, monkeypatch):
    """2,100 damaged copies: an error in one line, or every total is the number in the file."""
    rng, whole = np.random.default_rng(0), TABLE.encode()
    files = hand_totals.films(root)
    monkeypatch.setattr(hand_totals, "films", lambda _: files)
    monkeypatch.setattr(hand_totals, "texts", lambda root: [root / "totals 2024.csv"])
    monkeypatch.setattr(hand_totals.dicom_headers, "read_all", lambda _: {})  # the films do not change
    path, refused = root / "totals 2024.csv", 0
    for _ in range(2100):
        data = mutate(mutate(whole, rng), rng) if rng.random() < 0.3 else mutate(whole, rng)
        path.write_bytes(data)
        try:
            raw, report = read(root)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 600, str(error)
            continue
        lines = [[c.strip() for c in line] for line in csv.reader(io.StringIO(path.read_text("utf-8-sig"))) if any(line)]
        column = lines[0].index("SHS")
        given = [float(line[column]) for line in lines[1:] if line[column].lower() not in ("", "na", "nan", "n/a")]
        if rng.random() < 0.03:  # the table of sites is made for a few copies only
            shown = pd.DataFrame(raw.films).assign(part="LH").drop_duplicates("patient_id")
            shown = shown.assign(**dict.fromkeys(("left_px", "top_px", "turns"), 0), width_px=80, height_px=60)
            SITES_TABLE.check(raw.tables["sites.parquet"][1](shown))
        kept = raw.patients.total.dropna().tolist()
        assert kept == given and all(0 <= value <= 280 for value in kept), (data, kept)
        assert len({f["patient_id"] for f in raw.films}) <= len(lines) - 1
        assert str(report).count("\n") <= 8
    assert 500 < refused < 2000


def test_sums_of_sites_take_precedence_over_given_totals():
    keys = {"person_id": "x", "visit": 1, "split": "train"}

    def row(patient, part, site, finding, target):
        return {"patient_id": patient, **keys, "part": part, "joint": "j", "site": site, "finding": finding, "target": target}

    def graded(patient, target):
        return [row(patient, s.part, s.site, s.finding, target) for s in SITES if limb(s.part) == "hand"]

    rows = [*graded("a", 1.0), *graded("b", np.nan), row("a", BOTH_HANDS, "total", "total", 9.0)]
    rows += [row("b", BOTH_HANDS, "total", "total", 8.0), row("c", BOTH_HANDS, "total", "total", 7.0)]
    rows += [row("c", BOTH_HANDS, "total", "erosion", 5.0), row("d", "LH", "total", "total", 6.0)]
    rows.append(row("e", "ALL", "total", "total", 5.0))
    table = SITES_TABLE.check(pd.DataFrame(rows))
    assert scores.hands_totals(table).set_index("patient_id").target.to_dict() == {"a": 62.0, "b": 8.0, "c": 7.0, "d": 6.0}
    assert scores.gold_totals(table).to_dict() == {"a": 62.0, "b": 8.0, "c": 7.0, "d": 6.0}


def draw_hands(seed: int, severity: float, max_px: int = 400) -> np.ndarray:
    """Both hands on one film, the left hand on the left; `severity` is their damage (0..1)."""
    damage = Damage(dict.fromkeys(HAND_JOINTS, 5 * severity), dict.fromkeys(HAND_JOINTS, 4 * severity))
    two = [draw_film(part, (seed, i), damage=damage, max_px=max_px).grey for i, part in enumerate(("LH", "RH"))]
    height = min(len(grey) for grey in two)
    return np.hstack([cv2.resize(grey, (round(grey.shape[1] * height / len(grey)), height)) for grey in two])


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_profile_stacks_the_members_that_it_trains(profile):
    trained = dict(config.experiments({"hands": Member}, [CONFIGS / "members"], profile))
    ((_, stack),) = config.experiments({"hand_totals": HandTotals}, [CONFIGS / "stack"], profile)
    assert set(stack.members) == set(trained)
    assert all(member.weights[-1] == "scratch" for member in trained.values()), "runs without pretraining"


def test_a_pair_is_found_with_any_separator_and_case(root):
    for old, new in (("7-LH", "7_lh"), ("7-RH", "7 RH")):
        (root / f"{old}.png").rename(root / f"{new}.png")
    raw, report = read(root)
    assert [(f["patient_id"], f["part"]) for f in raw.films][-2:] == [("7", "LH"), ("7", "RH")] and not report.faults


@pytest.mark.slow
def test_screening_finds_how_many_hands_a_film_shows(tmp_path, monkeypatch):
    """Stage 1 screens films of two hands, of one hand and of a foot."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    root = tmp_path / "hospital"
    root.mkdir()
    pictures = {"a": draw_hands(5, 0.1, 800), "b": draw_film("RH", (7, 1), max_px=800).grey, "c": draw_hands(9, 0.0, 800)}
    pictures["d"] = draw_film("LF", (8, 1), max_px=800).grey
    for name, grey in pictures.items():
        cv2.imwrite(str(root / f"{name}.png"), grey)
    (root / "totals.csv").write_text("file,total\na,20\nb,10\nc,0\nd,3\n")
    verb.prepare("hand_totals", root, "s", 2)
    films, sites = FILMS.read(paths.films("s")), SITES_TABLE.read(paths.sites("s"))
    assert sorted(films.film_id) == ["a-LH", "a-RH", "b-RH", "c-LH", "c-RH", "d-LF"]
    assert sites.set_index("patient_id").part.to_dict() == {"a": "HANDS", "b": "RH", "c": "HANDS", "d": "HANDS"}
    assert json.loads((paths.work("s") / "report.json").read_text())["faults"]["film of a foot"] == ["d-LF"]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Twelve films of both hands with increasing damage."""
    root = tmp_path_factory.mktemp("hospital")
    (root / "films").mkdir()
    for i, severity in enumerate(np.linspace(0, 1, 12)):
        cv2.imwrite(str(root / f"films/h{i:02d}.png"), draw_hands(i, float(severity)))
    return root


@pytest.mark.slow
@pytest.mark.usefixtures("screened")
@pytest.mark.parametrize(("without_total", "split"), [((1, 5, 9), "test"), ((), "oof")])
def test_from_films_to_totals(hospital, tmp_path, monkeypatch, capsys, without_total, split):
    """The steps of run_all.sh for such a set, in the smoke profile: missing totals, or out-of-fold totals of all films."""
    monkeypatch.setenv("RA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RA_SUBMISSIONS", str(tmp_path / "submissions"))
    rows = [f"h{i:02d},{'' if i in without_total else 25 * i}" for i in range(12)]
    (hospital / "scores.csv").write_text("\n".join(["image,SHS", *rows]))
    smoke = ("--data", "s", "--profile", "smoke")
    verb.prepare("hand_totals", hospital, "s", 3, columns=ROLES)
    call(pictures, str(CONFIGS / "pictures"), *smoke)
    call(train, str(CONFIGS / "members"), *smoke, "--bone-age", "none", "--jobs", "1")
    call(train_stack, str(CONFIGS / "stack"), *smoke)
    call(intervals, "--data", "s", "--run", "totals")
    call(submit, "--data", "s", "--run", "totals")
    call(results, "--data", "s", "--run", "totals")
    submission = pd.read_csv(paths.submission("s"))
    assert list(submission) == ["Patient_ID", "total"]
    assert submission.Patient_ID.tolist() == [f"h{i:02d}" for i in without_total or range(12)]
    assert submission.total.between(0, 280).all()
    assert json.loads(paths.submission("s").with_suffix(".json").read_text())["split"] == split
    lines = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"column mean", "totals_resnet34", "totals_mobilenet", "totals"} <= lines
    pair = np.load(paths.run_dir("s", 2, "films") / "hands.npy")
    assert len(pair) == 12 and all((half.std(axis=(1, 2)) > 20).all() for half in np.split(pair, 2, axis=2)), "no half is black"
