"""Looking: what raised a network's answer, how it arranges the joints, crops unlike their grade, the largest errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evaluation.raters import MODEL, READER1, READER2, SPLITS, Raters
from evaluation.statistic import Statistic
from ra import paths
from ra.anatomy import FINDINGS, SITES
from report import tiles, upstream_runs
from report.blocks import Block, Gallery, Picture, Section, Text
from report.sections.explanations_map import of_embeddings

ID, TITLE = "looking", "Looking at films and at what the networks see"
SHOWN = 24  # of the largest errors, per finding
CASES = {"tp": "Damage seen", "tn": "No damage, none seen", "fp": "Called too high", "fn": "Called too low"}
SITE = {(s.part, s.joint, s.finding): j for j, s in enumerate(SITES)}
MAPS = (
    "Left: what the network was shown. Middle: Grad-CAM, the places of the network's last map that raised the answer, yellow "
    "most (each picture on its own scale; a dark one means that nothing raised it; the last map of a small crop has few "
    "places, so it is blunt). Right: occlusion, what a grey square over a place does: red to yellow where it lowers the "
    "answer, blue where it raises it. Every picture was read by the network of the fold that never saw the patient; the "
    "answer is that of the out-of-fold table. A map shows where, not why: it proves neither a right nor a wrong reason."
)
UNLIKE = (
    "Crops whose grade by reader 1 is farthest from that of the crops of other people which look most alike to the network "
    "(nearest in its features, same row of joints, same finding, out of fold): a slip of the pen, a joint off the crop, an "
    "unusual film, or damage that the network does not see. To be looked at again, not to be corrected by the model."
)
WORST = (
    "The joints on which the run's own {finding} grade is farthest from reader 1's, in shares of the site's scale, largest "
    "first, out of fold and test together. Where reader 2 sides with the model, the slip may be reader 1's."
)


def make(raters: Raters) -> Section:
    """Everything that stage 2 left to look at, and the crops with the largest errors of the run itself."""
    book = _Book(raters)
    blocks: list[Block] = []
    looked = [name for name in upstream_runs.members(raters) if (paths.explanations(raters.data, name) / "run.json").is_file()]
    if looked:
        blocks.append(Text(MAPS))
    for name in looked:
        blocks += _cases(book, name)
    for name in looked:
        blocks += _map_and_unlike(book, name)
    blocks += [block for finding in FINDINGS for block in _errors(book, finding)]
    return Section(ID, TITLE, _lead(looked, book), blocks, list(book.told.values()))


class _Book:
    """Readings told on the page so far, each once, and the crops."""

    def __init__(self, raters: Raters):
        self.raters, self.told = raters, {}
        self.row = pd.Index(raters.patients)
        folder = upstream_runs.crops(raters)
        self.crops = tiles.Crops.open(folder) if folder else None

    def tell(self, *given: object, digits: int | None = None) -> str:
        one = tiles.grade(ID, *given, digits=digits)
        self.told[one.id] = one
        return one.text

    def readers(self, patient: str, part: str, joint: str, finding: str) -> str:
        """What readers 1 and 2 gave a joint: `reader 1: 3, reader 2: 2`; those that scored it."""
        row, site = self.row.get_indexer([patient])[0], SITE.get((part, joint, finding))
        if row < 0 or site is None:
            return ""
        grades = {name: self.raters.by[name].grades[row, site] for name in (READER1, READER2)}
        place, split = f"{patient} {part} {joint} {finding}", str(self.raters.split[row])
        return ", ".join(
            f"{name}: {self.tell(split, name, place, value)}" for name, value in grades.items() if not np.isnan(value)
        )


def _lead(looked: list[str], book: _Book) -> str:
    if looked:
        return (
            f"What the networks of {' and '.join(looked)} respond to, and the joints on which the run and reader 1 differ most."
        )
    lacking = (
        "Stage 2 left nothing to look at; run python -m stage2_score.explain with the members' configs and make the report again."
    )
    return lacking if book.crops is None else f"{lacking} Below: the joints on which the run and reader 1 differ most."


def _cases(book: _Book, name: str) -> list[Block]:
    """A gallery per finding of a member's true and false positives and negatives; those asked for by name come first."""
    folder = paths.explanations(book.raters.data, name)
    rule = upstream_runs.record(folder).get("rule", "")
    blocks = []
    for file, title in (("asked", "Asked for"), ("cases", "True and false, high and low")):
        table = pd.read_parquet(folder / f"{file}.parquet") if (folder / f"{file}.parquet").is_file() else pd.DataFrame()
        for finding, rows in table.groupby("finding", sort=False) if len(table) else ():
            pictures = [_case(book, name, folder, row) for row in rows.itertuples()]
            lacking = [words.lower() for case, words in CASES.items() if case not in set(rows.case)]
            none = f" None here of: {'; '.join(lacking)}." if lacking and file == "cases" else ""
            blocks.append(
                Gallery(f"{title}: {_told(finding)}, member {name}", (rule if file == "cases" else "") + none, pictures)
            )
    return blocks


def _told(finding: str) -> str:
    return "total of a hand" if finding == "total" else finding


def _case(book: _Book, name: str, folder: Path, row: object) -> Picture:
    place = f"{row.patient_id} {row.part} {row.joint}"
    scope = f"{place} {row.finding}"
    readers = book.readers(row.patient_id, row.part, row.joint, row.finding)
    readers = readers or f"{READER1}: {book.tell('oof', READER1, scope, row.target)}"
    caption = f"{place}. {readers}, network: {book.tell('oof', name, scope, row.pred, digits=1)}"
    data = tiles.of_file(folder / row.picture)
    alt = f"{place}: the picture, its Grad-CAM map and its occlusion map"
    return Picture(CASES.get(row.case, "Asked for"), caption, data, alt)


def _map_and_unlike(book: _Book, name: str) -> list[Block]:
    folder, blocks = paths.explanations(book.raters.data, name), []
    if (folder / "embeddings.parquet").is_file():
        points = pd.read_parquet(folder / "embeddings.parquet")
        if len(points):
            n = Statistic(ID, "crops on the map", "oof", name, "t-SNE", len(points), n=len(points), unit="crops", digits=0)
            book.told[n.id] = n
            blocks.append(of_embeddings(points, name, n.text))
    if book.crops is not None and (folder / "outliers.parquet").is_file():
        rows = pd.read_parquet(folder / "outliers.parquet")
        pictures = [picture for row in rows.itertuples() if (picture := _unlike(book, name, row)) is not None]
        if pictures:
            blocks.append(Gallery(f"Crops unlike their grade, member {name}", UNLIKE, pictures))
    return blocks


def _unlike(book: _Book, name: str, row: object) -> Picture | None:
    data = book.crops.tile(row.patient_id, row.part, row.joint)
    if data is None:
        return None
    place = f"{row.patient_id} {row.part} {row.joint}"
    scope = f"{place} {row.finding}"
    own = f"network: {book.tell('oof', name, scope, row.pred, digits=1)}"
    near = f"look-alikes: {book.tell('oof', f'look-alikes of {name}', scope, row.neighbours, digits=1)}"
    readers = book.readers(row.patient_id, row.part, row.joint, row.finding)
    return Picture(f"{place} {row.finding}", f"{readers}, {near}, {own}", data, f"Crop of {place}")


def worst(raters: Raters, finding: str, n: int = SHOWN) -> list[tuple[int, int]]:
    """(row, site) of the n largest differences between the run and reader 1, in shares of the site's scale, largest first."""
    top = np.array([site.max_grade for site in SITES], float)
    own = np.array([site.finding == finding for site in SITES])
    gap = np.abs(raters.by[MODEL].grades - raters.by[READER1].grades) / top
    gap = np.where(own & ~np.isnan(gap), gap, 0.0)
    order = np.argsort(-gap, axis=None, kind="stable")[:n]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, gap.shape), strict=True) if gap[i, j] > 0]


def _errors(book: _Book, finding: str) -> list[Block]:
    """The contact sheet of one finding, over all splits."""
    if book.crops is None:
        return []
    pictures = []
    for i, j in worst(book.raters, finding):
        site, patient, split = SITES[j], book.raters.patients[i], str(book.raters.split[i])
        data = book.crops.tile(patient, site.part, site.joint)
        if data is not None:
            place = f"{patient} {site.part} {site.joint}"
            said = book.tell(split, MODEL, f"{place} {finding}", book.raters.by[MODEL].grades[i, j], digits=1)
            readers = book.readers(patient, site.part, site.joint, finding)
            pictures.append(Picture(place, f"{readers}, model: {said} ({SPLITS[split]})", data, f"Crop of {place}"))
    caption = WORST.format(finding=finding)
    return [Gallery(f"Largest errors: {finding}", caption, pictures)] if pictures else []
