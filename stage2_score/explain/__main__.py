"""Look into trained members: what raised their scores, how they arrange the joints, which crops are unlike their grade.

    python -m stage2_score.explain CONFIG.yaml [MORE.yaml ...] --data SET
    python -m stage2_score.explain CONFIG.yaml --data SET --patient ID --part LH --joint mcp_2

Each picture is read by the fold's network that never saw the patient. Writes into data/work/SET/stage2/RUN/explanations/

    cases.parquet, cases/    true and false positives and negatives (explain/cases.py): picture, Grad-CAM map, occlusion map
    embeddings.parquet       a t-SNE map of one fold's crops, and
    outliers.parquet         crops whose grade is far from that of crops which look alike (members of joints)
    asked.parquet, asked/    with --patient (--part, --joint): the same maps of that patient's pictures
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import cli, config, manifest, paths
from ra.config import UserError
from stage2_score import config as members
from stage2_score import parallel
from stage2_score.config import Member, Place
from stage2_score.explain.cases import Rule, choose

if TYPE_CHECKING:
    from stage2_score.explain.heldout_networks import HeldOut

RULES = {
    "joint": Rule(healthy=0.0, severe=0.5, small=0.1, large=0.3, each=6),
    # Bo, Coates, Papiez 2024: below 5, above 200, 10 and 50 of 280; few cohorts have such hands, so the last three are milder
    "film": Rule(healthy=5 / 280, severe=0.2, small=0.05, large=0.1, each=3),
}
COVER, STEP = 5, 9  # sides of a picture in a covering square's side, and in its steps
FULL = 0.1  # of the largest score: what a cover has to change at least to be drawn in full colour


@dataclass(frozen=True)
class Looking:
    """What is looked at."""

    rule: Rule
    points: int = 1200  # at most, of the map
    neighbours: int = 10  # of a crop, by which an outlier is told
    outliers: int = 12  # of each finding
    seed: int = 0


def looking_of(member: Member) -> Looking:
    return Looking(RULES["joint" if member.kind in ("joints", "ratingen") else "film"])


def look(held: HeldOut, what: Looking, folder: Path) -> list[Path]:
    """Everything of a member; the files written."""
    cases = chosen(held, what)
    outputs = [_write(draw(held, cases, folder, "cases"), folder / "cases.parquet")]
    if cases.empty:
        print(f"{held.name}: no picture with a score out of fold that would be an example; none is shown", flush=True)
    if held.member.kind == "joints" and len(held.rows):
        from stage2_score.explain.embedding import embed

        points, outliers = embed(held, what.points, what.neighbours, what.outliers, what.seed)
        outputs += [_write(points, folder / "embeddings.parquet"), _write(outliers, folder / "outliers.parquet")]
    return outputs


def chosen(held: HeldOut, what: Looking) -> pd.DataFrame:
    """The cases, of pictures that there are; of members of whole films the hands, as in the paper."""
    rows = held.rows[held.picture_of(held.rows) >= 0]
    if held.member.kind == "whole":
        rows = rows[rows.joint == "hand"]
    return choose(rows, what.rule, what.seed)


def draw(held: HeldOut, cases: pd.DataFrame, folder: Path, kind: str) -> pd.DataFrame:
    """The cases with `picture`, the file below the folder that shows the picture, what raised its score and what hides it; and
    `value`, the network's answer to the plain picture, and `fall`, by how much a cover lowers it at most."""
    pictures, found = held.picture_of(cases), cases.assign(picture="", value=float("nan"), fall=float("nan"))
    for network, own in held.by_fold(pictures):
        for k in own:
            name = f"{kind}/{k:03d}.png"
            value, fall = draw_one(held, network, pictures[k], cases.iloc[k], folder / name)
            found.loc[found.index[k], ["picture", "value", "fall"]] = name, value, fall
    return found[found.picture != ""]


def draw_one(held: HeldOut, network: object, picture: int, case: pd.Series, path: Path) -> tuple[float, float]:
    """One picture beside its two maps; (the answer, by how much a cover lowers it at most)."""
    from stage2_score.explain import overlay
    from stage2_score.explain.gradcam import gradcam
    from stage2_score.explain.occlusion import occlusion

    def score(out: dict) -> object:
        return held.value(out, case.finding)

    batch, px = held.batch([picture]), held.pictures.array.shape[-1]
    heat = gradcam(network, batch, score)[0].cpu().numpy()
    fall, value = occlusion(network, batch, score, side_px=max(1, px // COVER), step_px=max(1, px // STEP))
    full = max(float(fall.abs().max()), FULL * case.max_score)
    plain = held.pictures.array[held.pictures.index["row"].to_numpy()[picture]]
    overlay.save(overlay.beside(plain, heat, fall.numpy() / full), path)
    return value, float(fall.max())


def named(held: HeldOut, args: object) -> pd.DataFrame:
    """The rows that --patient, --part and --joint name; UserError when there are none."""
    rows, wanted = held.rows, {"patient_id": args.patient, "part": args.part, "joint": args.joint}
    for column, value in wanted.items():
        rows = rows if value is None else rows[rows[column] == value]
    rows = rows[held.picture_of(rows) >= 0]
    if rows.empty:
        words = ", ".join(f"{column} {value}" for column, value in wanted.items() if value is not None)
        raise UserError(
            f"{held.name} has no picture of {words} that was read out of fold; look into {paths.films(held.place.data)}"
        )
    return rows.assign(case="").reset_index(drop=True)


def _write(table: pd.DataFrame, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    table.to_parquet(temporary, index=False)
    temporary.replace(path)
    return path


def trained(name: str, member: Member, data: str) -> Path:
    """The folder of the member's run, finished and of this very config."""
    folder = paths.run_dir(data, 2, name)
    manifest.file_hash(folder)  # a UserError when it is not finished
    if config.load(Member, folder / "config.yaml") != member:
        raise UserError(f"{folder} holds a run made with another config; give the one it was trained with")
    return folder


def run() -> None:
    """Verb: look into trained members."""
    p = members.parser(__doc__)
    for name, of in (("patient", "whose pictures"), ("part", "LH RH LF RF"), ("joint", "such as mcp_2")):
        p.add_argument(f"--{name}", help=f"maps of these pictures too: {of}")
    args = p.parse_args()
    if (args.part or args.joint) and not args.patient:
        raise UserError("--part and --joint choose among one patient's pictures; name the patient, for example --patient UAB002")
    place = Place(args.data, args.data, parallel.device(args.device))
    for name, member in members.load(Member, args):
        folder, what = trained(name, member, args.data), looking_of(member)
        made = manifest.Run(
            paths.explanations(args.data, name), what, [folder, paths.run_dir(args.data, 2, member.crops)], args.force
        )
        todo = made.begin()
        if not (todo or args.patient):
            continue
        from stage2_score.explain.heldout_networks import HeldOut

        held = HeldOut(name, member, place)
        if todo:
            made.finish(look(held, what, made.folder), {}, what.seed, rule=what.rule.sentence)
        if args.patient:
            _write(draw(held, named(held, args), made.folder, "asked"), made.folder / "asked.parquet")
        print(f"{name}: {made.folder}", flush=True)


if __name__ == "__main__":
    cli.main(run)
