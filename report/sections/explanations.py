"""Explanations: saliency maps, the map of the features, crops unlike their grade, and the largest errors of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import section_ids
from evaluation.raters import MODEL, READER1, READER2, SPLITS, Raters
from evaluation.statistic import Statistic
from ra import paths
from ra.anatomy import FINDINGS, SITES
from report import tiles, upstream_runs
from report.blocks import Block, Gallery, Picture, Section, Text
from report.sections.explanations_map import of_embeddings

ID, TITLE = section_ids.EXPLANATIONS, "Explanations of the networks' scores"
N_LARGEST = 24  # errors shown per finding
CASES = {"tp": "Correct, damaged", "tn": "Correct, undamaged", "fp": "Scored too high", "fn": "Scored too low"}
SITE_INDEX = {(s.part, s.joint, s.finding): j for j, s in enumerate(SITES)}
MAPS = (
    "Left: the network's input. Middle: Grad-CAM, the regions of the network's last feature map that raised the prediction; "
    "yellow regions raised it most (each picture has its own scale; if it is dark, no region raised the prediction; the last "
    "feature map of a small crop has few cells, so the picture is coarse). Right: occlusion, the effect of a grey square at each "
    "place: red to yellow where it lowers the prediction, blue where it raises it. Each picture was scored by the network of "
    "the fold that was trained without the patient; the prediction is that of the out-of-fold table. A map shows where the "
    "network responds, not why."
)
OUTLIERS = (
    "Crops whose grade by reader 1 differs most from the grades of the most similar crops of other persons (nearest in the "
    "network's features, same row of joints, same finding, out of fold). Possible reasons: a clerical error, a joint outside "
    "the crop, an unusual film, or damage that the network does not detect. They should be reviewed by a reader, not corrected "
    "by the model."
)
WORST = (
    "Joints with the largest difference between the run's {finding} grade and reader 1's, relative to the site's scale, largest "
    "first, out of fold and test together. Where reader 2 agrees with the model, the error may be reader 1's."
)
MISSING = (
    "Stage 2 has no explanations; run python -m stage2_score.explain with the members' configs, then python -m report again."
)


def make(raters: Raters) -> Section:
    """The explanations of stage 2, and the crops with the largest errors of the run."""
    context = _Context(raters)
    blocks: list[Block] = []
    names = upstream_runs.members(raters)
    explained = [name for name in names if (paths.explanations(raters.data, name) / "run.json").is_file()]
    if explained:
        blocks.append(Text(MAPS))
    for name in explained:
        blocks += _cases(context, name)
    for name in explained:
        blocks += _map_and_outliers(context, name)
    for finding in FINDINGS:
        blocks += _largest_errors(context, finding)
    return Section(ID, TITLE, _lead(explained, context), blocks, list(context.statistics.values()))


class _Context:
    """The raters, their crops, and the grades that captions show, as statistics by id."""

    def __init__(self, raters: Raters):
        self.raters = raters
        self.statistics: dict[str, Statistic] = {}
        self.patients = pd.Index(raters.patients)
        folder = upstream_runs.crops(raters)
        self.crops = tiles.Crops.open(folder) if folder else None

    def grade_text(self, split: str, rater: str, scope: str, value: float, digits: int | None = None) -> str:
        """A grade as a caption shows it; it is recorded as a statistic."""
        grade = tiles.grade(ID, split, rater, scope, value, digits=digits)
        self.statistics[grade.id] = grade
        return grade.text

    def reader_grades(self, patient: str, part: str, joint: str, finding: str) -> str:
        """The grades of the readers who scored a joint: `reader 1: 3, reader 2: 2`."""
        row, site = self.patients.get_indexer([patient])[0], SITE_INDEX.get((part, joint, finding))
        if row < 0 or site is None:
            return ""
        scope, split = f"{patient} {part} {joint} {finding}", str(self.raters.split[row])
        texts = []
        for reader in (READER1, READER2):
            value = self.raters.by[reader].grades[row, site]
            if not np.isnan(value):
                texts.append(f"{reader}: {self.grade_text(split, reader, scope, value)}")
        return ", ".join(texts)


def _lead(explained: list[str], context: _Context) -> str:
    if explained:
        members = " and ".join(explained)
        return f"What the networks of {members} respond to, and the joints on which the run and reader 1 differ most."
    return MISSING if context.crops is None else f"{MISSING} Below: the joints on which the run and reader 1 differ most."


def _cases(context: _Context, name: str) -> list[Block]:
    """A gallery per finding of a member's requested joints, then of its correct and incorrect predictions."""
    folder = paths.explanations(context.raters.data, name)
    rule = upstream_runs.record(folder).get("rule", "")
    blocks = []
    for file, title in (("asked", "Requested joints"), ("cases", "Correct and incorrect predictions")):
        path = folder / f"{file}.parquet"
        table = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
        if table.empty:
            continue
        for finding, rows in table.groupby("finding", sort=False):
            pictures = [_case(context, name, folder, row) for row in rows.itertuples()]
            caption = ""
            if file == "cases":
                absent = [label.lower() for case, label in CASES.items() if case not in set(rows.case)]
                caption = rule + (f" No example here of: {'; '.join(absent)}." if absent else "")
            what = "total of a hand" if finding == "total" else finding
            blocks.append(Gallery(f"{title}: {what}, member {name}", caption, pictures))
    return blocks


def _case(context: _Context, name: str, folder: Path, row: object) -> Picture:
    joint = f"{row.patient_id} {row.part} {row.joint}"
    scope = f"{joint} {row.finding}"
    readers = context.reader_grades(row.patient_id, row.part, row.joint, row.finding)
    readers = readers or f"{READER1}: {context.grade_text('oof', READER1, scope, row.target)}"
    caption = f"{joint}. {readers}, network: {context.grade_text('oof', name, scope, row.pred, digits=1)}"
    data = tiles.webp_of_file(folder / row.picture)
    alt = f"{joint}: the picture, its Grad-CAM map and its occlusion map"
    return Picture(CASES.get(row.case, "Requested"), caption, data, alt)


def _map_and_outliers(context: _Context, name: str) -> list[Block]:
    folder, blocks = paths.explanations(context.raters.data, name), []
    if (folder / "embeddings.parquet").is_file():
        points = pd.read_parquet(folder / "embeddings.parquet")
        if len(points):
            n = Statistic(ID, "crops on the map", "oof", name, "t-SNE", len(points), n=len(points), unit="crops", digits=0)
            context.statistics[n.id] = n
            blocks.append(of_embeddings(points, name, n.text))
    if context.crops is not None and (folder / "outliers.parquet").is_file():
        outliers = [_outlier(context, name, row) for row in pd.read_parquet(folder / "outliers.parquet").itertuples()]
        pictures = [picture for picture in outliers if picture is not None]
        if pictures:
            blocks.append(Gallery(f"Crops unlike their grade, member {name}", OUTLIERS, pictures))
    return blocks


def _outlier(context: _Context, name: str, row: object) -> Picture | None:
    data = context.crops.tile(row.patient_id, row.part, row.joint)
    if data is None:
        return None
    joint = f"{row.patient_id} {row.part} {row.joint}"
    scope = f"{joint} {row.finding}"
    network = f"network: {context.grade_text('oof', name, scope, row.pred, digits=1)}"
    similar = f"similar crops: {context.grade_text('oof', f'look-alikes of {name}', scope, row.neighbours, digits=1)}"
    readers = context.reader_grades(row.patient_id, row.part, row.joint, row.finding)
    return Picture(scope, f"{readers}, {similar}, {network}", data, f"Crop of {joint}")


def largest_errors(raters: Raters, finding: str, n: int = N_LARGEST) -> list[tuple[int, int]]:
    """(row, site) of the n largest differences between the run and reader 1, relative to the site's scale, largest first."""
    max_grade = np.array([site.max_grade for site in SITES], float)
    of_finding = np.array([site.finding == finding for site in SITES])
    gap = np.abs(raters.by[MODEL].grades - raters.by[READER1].grades) / max_grade
    gap = np.where(of_finding & ~np.isnan(gap), gap, 0.0)
    order = np.argsort(-gap, axis=None, kind="stable")[:n]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, gap.shape), strict=True) if gap[i, j] > 0]


def _largest_errors(context: _Context, finding: str) -> list[Block]:
    """The gallery of the largest errors of one finding, over all splits; [] without crops."""
    if context.crops is None:
        return []
    pictures = []
    for i, j in largest_errors(context.raters, finding):
        site, patient, split = SITES[j], context.raters.patients[i], str(context.raters.split[i])
        data = context.crops.tile(patient, site.part, site.joint)
        if data is None:
            continue
        joint = f"{patient} {site.part} {site.joint}"
        model = context.grade_text(split, MODEL, f"{joint} {finding}", context.raters.by[MODEL].grades[i, j], digits=1)
        readers = context.reader_grades(patient, site.part, site.joint, finding)
        pictures.append(Picture(joint, f"{readers}, model: {model} ({SPLITS[split]})", data, f"Crop of {joint}"))
    return [Gallery(f"Largest errors: {finding}", WORST.format(finding=finding), pictures)] if pictures else []
