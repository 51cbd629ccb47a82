"""RAM-H1200 (arXiv 2605.05616, CC BY 4.0): 1,200 hands of six centres with joint boxes and SvdH scores; no feet.

As published: Segmentation/{train,val,test}/<case>.bmp are the whole hands; SvdH_Scoring/*/{train,val,test} hold the scores, one
JSON of erosion (_annotation_be_scores.json: {"<case>.bmp": {"BE_MCP-T": 0, ...}}) and one of narrowing (JSN_...), beside joint
crops, which are not read. Joint boxes are COCO in any train or val folder. The three split folders may also be in the root
itself. A case is <centre and patient>_<yyyymmdd>_<number>_<L|R>: both hands of one date are one set of films.

Training and validation cases become the training patients (official_split.csv distinguishes them), the official test cases the
test patients; the scores of the test patients are written only to gold.csv.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data import csv_input, film_files
from data.annotations.base import load_json, original
from data.annotations.joint_aliases import REGIONS, joint_of
from data.issues import Report
from data.sources import Raw, ra2dream
from ra import anatomy
from ra.config import UserError
from ra.imaging import film
from ra.table_validation import Column, Schema
from ra.tables import SITES, challenge

REPO = "TokyoTechMagicYang/RAM-H1200-v1"
LICENCE = """RAM-H1200 is published under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/): name its source, and cite
arXiv:2605.05616, "RAM-H1200: A Unified Evaluation and Dataset on Hand Radiographs for Rheumatoid Arthritis"."""
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}  # a folder's name -> official
DEPTHS = ("", "*/", "*/*/", "*/*/*/")  # of the split folders below the root
DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
FINDING = {"BE": "erosion", "JSN": "narrowing"}

OFFICIAL = Schema(
    "official_split",
    {name: Column("str") for name in ("case", "patient_id", "part")} | {"split": Column("str", values=("train", "val", "test"))},
    ("case",),
)
Grades = dict[tuple[str, str], float]  # (joint, finding) -> grade


@dataclass(frozen=True)
class Case:
    """One hand: person, date (yyyymmdd, or empty), part LH or RH, and the official split."""

    name: str
    person: str
    date: str
    part: str
    split: str


def download(root: Path) -> None:
    """Print the licence, then download the whole set into root; files that are there are not downloaded again."""
    print(LICENCE, flush=True)
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(repo_id=REPO, repo_type="dataset", local_dir=root)
    except Exception as error:  # of the network, the hub or the disk
        brief = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"--download: {REPO} could not be fetched ({brief}); try again, or download it elsewhere and leave --download out"
        ) from None


def films(root: Path) -> list[Path]:
    """The films of whole hands."""
    return list(_films(root).values())


def texts(root: Path) -> list[Path]:
    """Score files and joint boxes."""
    return [*_score_files(root), *_box_files(root)]


def read(root: Path, report: Report) -> Raw:
    """Hands with their grades; UserError where scores or whole hands are missing or a grade is out of range."""
    scores = _scores(root, report)
    film_of = _films(root)
    if not film_of:
        raise UserError(f"{root} holds joint crops but no whole hand; download the folder Segmentation of RAM-H1200 too")
    cases = {name: case for name, (split, _) in scores.items() if (case := _case(name, split))}
    for name in sorted(set(film_of) - set(cases)):
        report.warn("film without a row", f"{name} has no scores, or does not end in _L or _R")
    for name in sorted(set(cases) - set(film_of)):
        report.warn("missing film", f"{cases[name].split}/{name}")
    if not any(case.split != "test" and case.name in film_of for case in cases.values()):
        raise UserError(
            f"{root} holds no scored training hand; films must be named as in the scores: <case>_L.bmp or <case>_R.bmp"
        )
    sets = _sets(list(cases.values()), report)
    patients = [patient for patient, _ in sets]
    grades = [_row(hands, scores) for _, hands in sets]
    targets = [g if p["split"] == "train" else dict.fromkeys(g, np.nan) for p, g in zip(patients, grades, strict=True)]
    table = pd.DataFrame(patients).assign(total=pd.DataFrame(grades).sum(axis=1, min_count=1))
    report.counts |= {"sets of films": len(sets), "sets of one hand": sum(len(hands) == 1 for _, hands in sets)}
    return Raw(
        films=[
            film_files.row(patient, case.part, film_of[case.name])
            for patient, hands in sets
            for case in hands
            if case.name in film_of
        ],
        patients=table[table.split == "train"][["patient_id", "person_id", "total"]].reset_index(drop=True),
        tables={
            "sites.parquet": (SITES, pd.DataFrame(ra2dream.site_rows(patients, targets))),
            "official_split.csv": (OFFICIAL, _official(sets)),
            **_submission(patients, grades),
        },
        boxes=tuple(_box_files(root)),
    )


def _folders(root: Path) -> list[tuple[str, Path]]:
    """(official split, folder) of every split folder that is not hidden."""
    named = [(official, p) for depth in DEPTHS for name, official in SPLITS.items() for p in sorted(root.glob(depth + name))]
    visible = [(s, p) for s, p in named if p.is_dir() and not any(part.startswith(".") for part in p.relative_to(root).parts)]
    if not visible:
        raise UserError(f"{root} holds no folder train; give --root the folder of RAM-H1200 that holds Segmentation")
    return visible


def _score_files(root: Path) -> list[Path]:
    return [path for _, folder in _folders(root) for path in sorted(folder.glob("*scores*.json"))]


def _box_files(root: Path) -> list[Path]:
    """COCO files of joints in training folders; masks of bones and erosions are COCO files too, but have no joints."""
    other_words = ("scores", "_rle", "bone", "_be_", "seg")
    files = [p for split, folder in _folders(root) if split != "test" for p in sorted(folder.glob("*.json"))]
    return [p for p in files if not any(word in p.name.lower() for word in other_words) and _has_joint_categories(p)]


def _has_joint_categories(path: Path) -> bool:
    """Whether most categories of a COCO file are joints."""
    content = load_json(path)
    if not (isinstance(content, dict) and isinstance(content.get("categories"), list)):
        return False
    names = [str(c.get("name")) for c in content["categories"] if isinstance(c, dict)]
    return sum(joint_of(name) is not None for name in names) > len(names) / 2


def _films(root: Path) -> dict[str, Path]:
    """case -> the film of the whole hand; among several copies the one beside the joint boxes, which are in its pixels."""
    with_boxes = {p.parent for p in _box_files(root)}
    out: dict[str, Path] = {}
    for _, folder in sorted(_folders(root), key=lambda item: item[1] not in with_boxes):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in film.SUFFIXES and not path.name.startswith("."):
                out.setdefault(Path(original(path.name)).stem, path)
    return out


def _scores(root: Path, report: Report) -> dict[str, tuple[str, Grades]]:
    """case -> (official split, grades), from all score files."""
    out: dict[str, tuple[str, Grades]] = {}
    n_unknown, n_read = 0, 0
    for official, folder in _folders(root):
        for path in sorted(folder.glob("*scores*.json")):
            for case, key, grade in _cells(path):
                split, grades = out.setdefault(case, (official, {}))
                if split != official:
                    raise UserError(f"{path}: {case} is scored in {split} and in {official}; a case belongs to one of them")
                prefix, _, region = key.partition("_")
                joint = REGIONS.get(prefix, {}).get(region)
                if joint is None:
                    n_unknown += 1
                    continue
                n_read += 1
                grades[joint, FINDING[prefix]] = _grade(grade, FINDING[prefix], f"{path}: {case} {key}")
    if not n_read:
        raise UserError(f"{root} holds no scores; it needs _annotation_be_scores.json or _annotation_jsn_scores.json in train")
    report.counts |= {"hands scored": len(out)} | ({"scores of other places left out": n_unknown} if n_unknown else {})
    return out


def _cells(path: Path) -> Iterator[tuple[str, str, object]]:
    """(case, name of the score, value) of one file."""
    content = load_json(path)
    if not (isinstance(content, dict) and all(isinstance(scores, dict) for scores in content.values())):
        raise UserError(f'{path} must hold {{"<case>.bmp": {{"BE_MCP-T": 0, ...}}}}; download it again')
    for name, scores in content.items():
        for key, value in scores.items():
            yield Path(original(name)).stem, key, value


def _grade(value: object, finding: str, where: str) -> float:
    """A whole number within the finding's scale, NaN if empty."""
    maximum = anatomy.MAX_GRADE["hand", finding]
    try:
        return np.nan if value is None else csv_input.integer(str(value), 0, maximum)
    except (ValueError, OverflowError):
        raise UserError(f"{where} is {str(value)[:40]!r}, not a whole number from 0 to {maximum}; correct it") from None


def _case(name: str, split: str) -> Case | None:
    """The parts of a case's name; None when it has no side."""
    *words, side = name.split("_")
    if side.upper() not in ("L", "R") or not words or not csv_input.SAFE_ID.fullmatch(name):
        return None
    date_at = next((i for i, word in enumerate(words) if i and DATE.fullmatch(word)), len(words))
    return Case(name, "_".join(words[:date_at]), words[date_at] if date_at < len(words) else "", f"{side.upper()}H", split)


def _sets(cases: list[Case], report: Report) -> list[tuple[dict, list[Case]]]:
    """Sets of films: (patient, hands of one date). If a hand was taken twice on a date, the second film starts a second set."""
    grouped: dict[tuple, list[Case]] = defaultdict(list)
    taken: dict[tuple, int] = defaultdict(int)
    for case in sorted(cases, key=lambda c: c.name):
        key = (case.person, case.date, "test" if case.split == "test" else "train")
        grouped[(*key, taken[(*key, case.part)])].append(case)
        taken[(*key, case.part)] += 1
    visits: dict[str, int] = defaultdict(int)
    out: list[tuple[dict, list[Case]]] = []
    ids: set[str] = set()
    for (person, date, split, number), hands in sorted(grouped.items()):
        visits[person] += 1
        name = "_".join([person, *([date] if date else []), *([str(number + 1)] if number else [])])
        patient_id = name if name not in ids else f"{name}_{split}"
        ids.add(patient_id)
        out.append(({"patient_id": patient_id, "person_id": person, "visit": visits[person], "split": split}, hands))
    splits = defaultdict(set)
    for patient, _ in out:
        splits[patient["person_id"]].add(patient["split"])
    for person in sorted(person for person, person_splits in splits.items() if len(person_splits) > 1):
        report.warn("person in train and test", person)
    return out


def _row(hands: list[Case], scores: dict[str, tuple[str, Grades]]) -> dict[str, float]:
    """The challenge's columns of one set of films: hands as scored, feet and totals NaN."""
    row = dict.fromkeys(ra2dream.BOUNDS, np.nan)
    for case in hands:
        for (joint, finding), grade in scores[case.name][1].items():
            row[f"{case.part}_{anatomy.joint2site(joint, finding)}"] = grade
    return row


def _official(sets: list[tuple[dict, list[Case]]]) -> pd.DataFrame:
    rows = [{"case": c.name, "patient_id": p["patient_id"], "part": c.part, "split": c.split} for p, hands in sets for c in hands]
    return pd.DataFrame(rows)


def _submission(patients: list[dict], grades: list[dict[str, float]]) -> dict[str, tuple[Schema, pd.DataFrame]]:
    """template.csv and gold.csv of the test patients: the columns in which training patients have scores, without totals."""
    table = pd.DataFrame(grades, index=pd.Index([p["patient_id"] for p in patients], name=anatomy.ID))
    train = np.array([p["split"] == "train" for p in patients])
    scored = [c for c in anatomy.COLUMNS_B if c in anatomy.BY_COLUMN and table.loc[train, c].notna().any()]
    if train.all():
        return {}
    schema = challenge(scored)
    gold = table.loc[~train, scored].reset_index()
    template = gold.assign(**dict.fromkeys(scored, np.nan))
    return {"template.csv": (schema, template), "gold.csv": (schema, gold)}
