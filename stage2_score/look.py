"""Look into trained members: what raised their scores, how they arrange the joints, which crops are unlike their grade.

    python -m stage2_score.look CONFIG.yaml [MORE.yaml ...] --data SET
    python -m stage2_score.look CONFIG.yaml --data SET --occlusion --patient ID --part LH --joint mcp_2

Each picture is read by the fold's network that never saw the patient. Writes into data/work/SET/stage2/RUN/looking/

    cases.parquet, gradcam/     true and false positives and negatives (stage2_score.cases), each beside its Grad-CAM map
    embeddings.parquet          a t-SNE map of one fold's crops, and
    outliers.parquet            crops whose grade is far from that of crops which look alike (members of joints)
    occlusion.parquet, occlusion/    with --occlusion: of one picture, else of the cases
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import config, manifest, paths
from ra.config import UserError
from stage2_score import jobs, members
from stage2_score.cases import Rule, choose
from stage2_score.members import Member, Place

if TYPE_CHECKING:
    import numpy as np

    from stage2_score.heldout import HeldOut

RULES = {
    "joint": Rule(healthy=0.0, severe=0.5, small=0.1, large=0.3, each=6),
    # Bo, Coates, Papiez 2024: below 5, above 200, 10 and 50 of 280; few cohorts have such hands, so the last three are milder
    "film": Rule(healthy=5 / 280, severe=0.2, small=0.05, large=0.1, each=3),
}


@dataclass(frozen=True)
class Looking:
    """What is looked at."""

    rule: Rule
    points: int = 2000  # at most, of the map
    neighbours: int = 10  # of a crop, by which an outlier is told
    outliers: int = 12  # of each finding
    seed: int = 0


def looking_of(member: Member) -> Looking:
    return Looking(RULES["joint" if member.kind in ("joints", "ratingen") else "film"])


def look(held: HeldOut, what: Looking, folder: Path) -> list[Path]:
    """Everything of a member but occlusion; the files written."""
    cases = chosen(held, what)
    outputs = [_write(draw_gradcam(held, cases, folder), folder / "cases.parquet")]
    if cases.empty:
        print(f"{held.name}: no picture with a score out of fold that would be an example; none is shown", flush=True)
    if held.member.kind == "joints" and len(held.rows):
        from stage2_score.embed import embed

        points, outliers = embed(held, what.points, what.neighbours, what.outliers, what.seed)
        outputs += [_write(points, folder / "embeddings.parquet"), _write(outliers, folder / "outliers.parquet")]
    return outputs


def chosen(held: HeldOut, what: Looking) -> pd.DataFrame:
    """The cases, of pictures that there are; of members of whole films the hands, as in the paper."""
    rows = held.rows[held.picture_of(held.rows) >= 0]
    if held.member.kind == "whole":
        rows = rows[rows.joint == "hand"]
    return choose(rows, what.rule, what.seed)


def draw_gradcam(held: HeldOut, cases: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The cases with `picture`, the file beside them that shows the picture and what raised its score."""
    from stage2_score import overlay
    from stage2_score.gradcam import gradcam

    pictures, names = held.picture_of(cases), [f"gradcam/{k:03d}.png" for k in range(len(cases))]
    for network, own in held.by_fold(pictures):
        for finding in sorted(set(cases.finding.iloc[own])):
            some = own[cases.finding.to_numpy()[own] == finding]
            heat = gradcam(network, held.batch(pictures[some]), lambda out, f=finding: held.value(out, f)).cpu().numpy()
            for k, warmth in zip(some, heat, strict=True):
                overlay.save(overlay.beside(_picture(held, pictures[k]), warmth), folder / names[k])
    return cases.assign(picture=names)


def draw_occlusion(held: HeldOut, cases: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The cases with `picture`, `value` (the answer to the plain picture) and `fall`, by how much a cover lowers it at most."""
    from stage2_score import overlay
    from stage2_score.occlusion import occlusion

    pictures, told = held.picture_of(cases), [("", 0.0, 0.0)] * len(cases)
    for network, own in held.by_fold(pictures):
        for k in own:
            finding, px = cases.finding.iloc[k], held.pictures.array.shape[-1]
            size = {"side_px": max(1, px // 5), "step_px": max(1, px // 14)}
            fall, value = occlusion(network, held.batch(pictures[[k]]), lambda out, f=finding: held.value(out, f), **size)
            share = (fall / fall.abs().max().clamp_min(1e-6)).numpy()
            name, largest = f"occlusion/{k:03d}.png", float(fall.max())
            overlay.save(overlay.beside(_picture(held, pictures[k]), share), folder / name)
            told[k] = (name, value, largest)
    return cases.assign(**dict(zip(("picture", "value", "fall"), zip(*told, strict=True), strict=True)) if told else {})


def _picture(held: HeldOut, at: int) -> np.ndarray:
    return held.pictures.array[held.pictures.index["row"].to_numpy()[at]]


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
    p.add_argument("--occlusion", action="store_true", help="cover places of the pictures and see what changes")
    for name in ("patient", "part", "joint"):
        p.add_argument(f"--{name}", help="with --occlusion: which picture (default: the cases)")
    args = p.parse_args()
    place = Place(args.data, args.data, jobs.device(args.device))
    for name, member in members.load(Member, args):
        folder, what = trained(name, member, args.data), looking_of(member)
        made = manifest.Run(paths.looking(args.data, name), what, [folder, paths.run_dir(args.data, 2, member.crops)], args.force)
        todo = made.begin()
        if not todo and not args.occlusion:
            continue
        from stage2_score.heldout import HeldOut

        held = HeldOut(name, member, place)
        if todo:
            made.finish(look(held, what, made.folder), {}, what.seed, rule=what.rule.sentence)
        if args.occlusion:
            one = args.patient or args.part or args.joint
            cases = named(held, args) if one else chosen(held, what)
            _write(draw_occlusion(held, cases, made.folder), made.folder / "occlusion.parquet")
        print(f"{name}: {made.folder}", flush=True)


if __name__ == "__main__":
    config.main(run)
