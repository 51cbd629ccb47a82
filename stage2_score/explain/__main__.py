"""Explain trained members: which regions raise a score, how the features of crops cluster, which crops have an unusual grade.

    python -m stage2_score.explain CONFIG.yaml|FOLDER [MORE ...] --data SET
    python -m stage2_score.explain CONFIG.yaml --data SET --patient ID --part LH --joint mcp_2

Each picture is scored by the fold's network that was trained without the patient. Writes into
data/work/SET/stage2/RUN/explanations/

    cases.parquet, cases/    true and false positives and negatives (explain/cases.py): picture, Grad-CAM map, occlusion map
    embeddings.parquet       a t-SNE map of one fold's crops, and
    outliers.parquet         crops whose grade is far from that of similar crops (members of kind joints)
    asked.parquet, asked/    with --patient (--part, --joint): the same maps of that patient's pictures
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import atomic, cli, config, manifest, paths
from ra.config import UserError
from stage2_score import parallel
from stage2_score.config import MEMBERS, Member, TrainingContext, add_configs, load_members
from stage2_score.explain.cases import Rule, choose

if TYPE_CHECKING:
    import torch

    from stage2_score.explain.heldout_networks import HeldOutNetworks

RULES = {
    "joint": Rule(healthy=0.0, severe=0.5, small=0.1, large=0.3, each=6),
    # Bo, Coates, Papiez 2024 use totals below 5, above 200, and errors of 10 and 50, of 280. Few cohorts have such hands, so the
    # last three thresholds are lower here.
    "film": Rule(healthy=5 / 280, severe=0.2, small=0.05, large=0.1, each=3),
}
RULE_OF_KIND = {"joints": "joint", "ratingen": "joint", "whole": "film", "hands": "film", "severity": "film"}
COVERS_PER_SIDE, STEPS_PER_SIDE = 5, 9  # a picture's side divided by that of a covering square, and by the step between squares
FULL_COLOUR_FRAC = 0.1  # share of the largest score: the smallest change by a cover that is drawn in full colour


@dataclass(frozen=True)
class ExplainSettings:
    """What is explained, and how much of it."""

    rule: Rule
    points: int = 1200  # largest number of points on the map
    neighbours: int = 10  # number of similar crops whose mean grade is compared with a crop's grade
    outliers: int = 12  # per finding
    seed: int = 0


def run() -> None:
    """Verb: explain trained members."""
    p = cli.parser(__doc__, "data", "profile", "set", "run", "device", "force")
    add_configs(p, MEMBERS)
    for name, what in (("patient", "a patient_id"), ("part", "LH RH LF RF"), ("joint", "such as mcp_2")):
        p.add_argument(f"--{name}", help=f"also write maps of the pictures of this {name}: {what}")
    args = p.parse_args()
    if (args.part or args.joint) and not args.patient:
        raise UserError("--part and --joint choose among one patient's pictures; name the patient, for example --patient UAB002")
    for name, member in with_explanation(load_members(args)):
        folder, settings = trained_folder(name, member, args.data), ExplainSettings(RULES[RULE_OF_KIND[member.kind]])
        inputs = [folder, paths.run_dir(args.data, 2, member.pictures)]
        run_record = manifest.Run(paths.explanations(args.data, name), settings, inputs, args.force, f"{name}, explanations")
        unfinished = run_record.begin()
        if not (unfinished or args.patient):
            continue
        from stage2_score.explain.heldout_networks import HeldOutNetworks

        context = TrainingContext(args.data, args.data, parallel.choose_device(args.device))
        held_out = HeldOutNetworks(name, member, context)
        if unfinished:
            outputs = explain_member(held_out, settings, run_record.folder)
            run_record.finish(outputs, {}, settings.seed, rule=settings.rule.sentence)
        if args.patient:
            table = draw_cases(held_out, requested_rows(held_out, args), run_record.folder, "asked")
            atomic.write_table(run_record.folder / "asked.parquet", table)
        print(f"{name}: {run_record.folder}", flush=True)


def with_explanation(members: list[tuple[str, Member]]) -> list[tuple[str, Member]]:
    """The members of a kind that can be explained; prints the names of the others. UserError when none is left."""
    chosen = [(name, member) for name, member in members if member.kind in RULE_OF_KIND]
    others = ", ".join(f"{name} ({member.kind})" for name, member in members if member.kind not in RULE_OF_KIND)
    if not chosen:
        raise UserError(f"no explanation exists for {others}; give members of kind {', '.join(RULE_OF_KIND)}")
    if others:
        print(f"left out, because their kind has no explanation: {others}", flush=True)
    return chosen


def trained_folder(name: str, member: Member, data: str) -> Path:
    """The folder of the member's run; UserError unless it is finished and was trained with this config."""
    folder = paths.run_dir(data, 2, name)
    manifest.file_hash(folder)  # raises UserError when the run is not finished
    if config.load(Member, folder / "config.yaml") != member:
        raise UserError(f"{folder} holds a run made with another config; give the config that it was trained with")
    return folder


def explain_member(held_out: HeldOutNetworks, settings: ExplainSettings, folder: Path) -> list[Path]:
    """Write all explanations of a member; returns the files."""
    cases = select_cases(held_out, settings)
    tables = {"cases": draw_cases(held_out, cases, folder, "cases")}
    if cases.empty:
        print(f"{held_out.name}: no picture with an out-of-fold score meets the rule; no case is shown", flush=True)
    if held_out.member.kind == "joints" and len(held_out.rows):
        from stage2_score.explain.embedding import embed

        sizes = settings.points, settings.neighbours, settings.outliers
        tables["embeddings"], tables["outliers"] = embed(held_out, *sizes, settings.seed)
    for name, table in tables.items():
        atomic.write_table(folder / f"{name}.parquet", table)
    return [folder / f"{name}.parquet" for name in tables]


def select_cases(held_out: HeldOutNetworks, settings: ExplainSettings) -> pd.DataFrame:
    """The cases among rows with a picture; for members of whole parts the hands only, as in the paper."""
    rows = held_out.rows[held_out.picture_of(held_out.rows) >= 0]
    if held_out.member.kind == "whole":
        rows = rows[rows.joint == "hand"]
    return choose(rows, settings.rule, settings.seed)


def draw_cases(held_out: HeldOutNetworks, cases: pd.DataFrame, folder: Path, name: str) -> pd.DataFrame:
    """Draw the cases into folder/<name>/ and return them with three more columns.

    picture: the drawn file, relative to the folder; value: the network's score of the plain picture; fall: the largest decrease
    of the score when a square of the picture is covered.
    """
    pictures = held_out.picture_of(cases)
    drawn = cases.assign(picture="", value=float("nan"), fall=float("nan"))
    for network, positions in held_out.by_fold(pictures):
        for k in positions:
            file = f"{name}/{k:03d}.png"
            value, fall = draw_case(held_out, network, pictures[k], cases.iloc[k], folder / file)
            drawn.loc[drawn.index[k], ["picture", "value", "fall"]] = file, value, fall
    return drawn[drawn.picture != ""]


def draw_case(
    held_out: HeldOutNetworks, network: torch.nn.Module, picture: int, case: pd.Series, path: Path
) -> tuple[float, float]:
    """Draw one picture next to its two maps; returns its score, and the largest decrease when a square of it is covered."""
    from stage2_score.explain import overlay
    from stage2_score.explain.gradcam import gradcam
    from stage2_score.explain.occlusion import occlusion

    def score(out: dict) -> torch.Tensor:
        return held_out.value(out, case.finding)

    batch, px = held_out.batch([picture]), held_out.pictures.array.shape[-1]
    heat = gradcam(network, batch, score)[0].cpu().numpy()
    side_px, step_px = max(1, px // COVERS_PER_SIDE), max(1, px // STEPS_PER_SIDE)
    fall, value = occlusion(network, batch, score, side_px=side_px, step_px=step_px)
    full_colour = max(float(fall.abs().max()), FULL_COLOUR_FRAC * case.max_score)
    plain = held_out.pictures.pixels([picture])[0]
    overlay.save(overlay.beside(plain, heat, fall.numpy() / full_colour), path)
    return value, float(fall.max())


def requested_rows(held_out: HeldOutNetworks, args: argparse.Namespace) -> pd.DataFrame:
    """The rows that --patient, --part and --joint name; UserError when there are none."""
    rows, requested = held_out.rows, {"patient_id": args.patient, "part": args.part, "joint": args.joint}
    for column, value in requested.items():
        rows = rows if value is None else rows[rows[column] == value]
    rows = rows[held_out.picture_of(rows) >= 0]
    if rows.empty:
        words = ", ".join(f"{column} {value}" for column, value in requested.items() if value is not None)
        films = paths.films(held_out.context.data)
        raise UserError(f"{held_out.name} has no picture of {words} with an out-of-fold score; see {films} for the patients")
    return rows.assign(case="").reset_index(drop=True)


if __name__ == "__main__":
    cli.main(run)
