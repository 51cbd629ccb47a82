"""Whole films -> every joint's place and its distributions over grades (Maziarz, Krason, Wojna 2020).

Joint centres are asked for in training only; in prediction the network finds the joints itself, and its boxes are left as
any detector's are, so that `--boxes RUN` of stage2_score.crops can name this run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ra import paths, tables
from ra.anatomy import FINDINGS, JOINTS, MAX_GRADE, N_GRADES, limb
from ra.boxes import error_summary, reduce_folds
from ra.config import UserError
from stage2_score import data, scores
from stage2_score.config import Member
from stage2_score.loss import grade_targets, log_grades
from stage2_score.networks.joint_masks import INNER, N_TYPES, TYPE
from stage2_score.networks.unet import CLASSES
from stage2_score.tasks.base import PictureTask, Predict, target_fields
from stage2_score.tasks.joints import Joints, rms
from stage2_score.whole_films import ROI, centre_file

HALVED = {limb: MAX_GRADE[limb, "erosion"] // 5 for limb in JOINTS}  # a foot's erosion 0..10 is read as 0, 0.5 .. 5


def to_roi(xy: np.ndarray, index: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Points (n, ..., 2) of films in pixels of their canonical pictures (n, h, w); index: one row per point, part and ROI."""
    low, high = index[ROI[:2]].to_numpy(float), index[ROI[2:]].to_numpy(float)
    scale = np.array(shape[::-1]) / (high - low)
    canonical = (xy + 0.5 - low) * scale - 0.5
    return np.where(_mirrored(index), [shape[1] - 1, 0] - canonical * [1, -1], canonical)


def from_roi(xy: np.ndarray, index: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """The way back: points (n, 2) of canonical pictures in the films' own upright, un-mirrored pixels."""
    low, high = index[ROI[:2]].to_numpy(float), index[ROI[2:]].to_numpy(float)
    upright = np.where(_mirrored(index), [shape[1] - 1, 0] - xy * [1, -1], xy)
    return (upright + 0.5) * (high - low) / np.array(shape[::-1]) - 0.5 + low


def _mirrored(index: pd.DataFrame) -> np.ndarray:
    return (index.laterality == "R").to_numpy()[:, None]


def per_joint(index: pd.DataFrame) -> pd.DataFrame:
    """An index with one row per film as one row per joint of it, with `film` (its position) and `type`."""
    joints = index.reset_index(drop=True).rename_axis("film").reset_index()
    joints["joint"] = joints.part.map(lambda part: JOINTS[limb(part)])
    joints = joints.explode("joint", ignore_index=True)
    return joints.assign(type=joints.joint.map(TYPE))


class Film(PictureTask):
    """Pictures of limbs -> per joint type (22) erosion (6, a foot's halved), narrowing (5), centre (2) and conf."""

    array = "rois"
    eval_batch = 8
    outputs = (*FINDINGS, "centre", "conf")

    def __init__(self, *args: object, **more: object):
        super().__init__(*args, **more)
        if self.config.tta != 1:
            raise UserError("a film member has no test-time views; leave tta at 1 and train several seeds instead")
        self.shape: tuple[int, int] = self.pictures.array.shape[1:]
        self.doubled = self.pictures.index.part.map(lambda part: HALVED[limb(part)]).to_numpy()  # grade per unit of erosion

    def known(self) -> np.ndarray:
        """Films with a grade and with joint centres: without these all of a film would be taught as background."""
        return super().known() & ~np.isnan(self.pictures.fields["centres"]).all((1, 2))

    def worst(self) -> np.ndarray:
        grades = np.concatenate([self.pictures.fields[f] for f in FINDINGS], 1)
        return np.where(np.isnan(grades), -1, grades).max(1).clip(0)

    def prepare(self, network: nn.Module) -> None:
        """Grades start at their frequencies among the joints trained on."""
        for finding in FINDINGS:
            grades = torch.from_numpy(self.pictures.fields[finding][self.fit]).float()
            counts = grade_targets(grades, CLASSES[finding], 0.0).sum((0, 1))
            with torch.no_grad():
                network.heads[finding].bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(grade + 1) as of the other members, and how many joints lie within 2 % of the picture's height."""
        found, fields = self.predict(predict, self.held), self.pictures.fields
        doubled, figures = self.doubled[self.held, None], {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            times = doubled if finding == "erosion" else np.ones_like(doubled)
            logs = log_grades(N_GRADES).numpy()[np.arange(CLASSES[finding]) * times]  # (n, grades)
            expected = (found[finding] * logs[:, None]).sum(2)
            figures[name] = rms(expected - np.log2(fields[finding][self.held] * times + 1))
        centres = fields["centres"][self.held]
        error = np.hypot(*np.moveaxis(found["centre"] - centres, -1, 0))[~np.isnan(centres[..., 0])]
        figures["val_found"] = float((error < 0.02 * self.shape[0]).mean())
        return {**figures, "criterion": figures["val_narrowing"] + figures["val_erosion"]}

    @classmethod
    def rows(cls, member: Member, of: str) -> pd.DataFrame:
        return Joints.rows(member, of)

    @classmethod
    def fields(cls, member: Member, of: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        """erosion, narrowing (n, 22) and centres (n, 22, 2) px of each film; NaN where unknown."""
        joints, rows = per_joint(index), cls.rows(member, of)
        place = joints.film.to_numpy(), joints.type.to_numpy(int)
        shape = data.open_array(paths.run_dir(of, 2, member.crops), cls.array).shape[1:]
        fields = {f: np.full((len(index), N_TYPES), np.nan) for f in FINDINGS}
        for finding, target in target_fields(rows, joints, FINDINGS).items():
            fields[finding][place] = target
        fields["erosion"] /= index.part.map(lambda part: HALVED[limb(part)]).to_numpy()[:, None]
        boxes = tables.BOXES.read(centre_file(of)) if centre_file(of).is_file() else pd.DataFrame(columns=["film_id", "joint"])
        boxes = boxes.set_index(["film_id", "joint"]).reindex(pd.MultiIndex.from_frame(joints[["film_id", "joint"]]))
        fields["centres"] = np.full((len(index), N_TYPES, 2), np.nan)
        fields["centres"][place] = to_roi(boxes[["x_px", "y_px"]].to_numpy(float), joints, shape)
        return fields

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, found: dict[str, np.ndarray]) -> pd.DataFrame:
        joints = per_joint(index)
        p = {f: found[f][joints.film, joints.type.to_numpy(int)] for f in FINDINGS}
        foot = (joints.part.map(limb) == "foot").to_numpy()[:, None]
        wide = np.zeros((2, len(joints), N_GRADES))
        wide[0, :, : CLASSES["erosion"]] = p["erosion"]
        wide[1, :, :: HALVED["foot"]] = p["erosion"]  # 0, 2 .. 10
        return scores.with_probabilities(rows, joints, {**p, "erosion": np.where(foot, wide[1], wide[0])})

    def extras(self, index: pd.DataFrame, found: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """Boxes with sides of 2 r; a joint without a pixel lies where it lies in the mean of the films trained on."""
        joints = per_joint(index)
        place = joints.film, joints.type.to_numpy(int)
        centre, conf = found["centre"][place], found["conf"][place]
        limbs = self.pictures.index.part.map(limb).to_numpy()
        of_limb = {name: self.fit[limbs[self.fit] == name] for name in JOINTS}
        centres = {name: self.pictures.fields["centres"][rows] for name, rows in of_limb.items()}
        usual = {name: np.nansum(of, 0) / (~np.isnan(of)).sum(0).clip(1) for name, of in centres.items()}
        unseen = np.isnan(conf)
        if unseen.any():
            own = joints[unseen]
            centre[unseen] = [usual[limb(part)][kind] for part, kind in zip(own.part, own.type, strict=True)]
        side = 2 * self.config.loss.params.get("inner", INNER) * self.shape[1]
        xy = from_roi(centre, joints, self.shape)
        boxes = pd.DataFrame({"film_id": joints.film_id, "joint": joints.joint, "x_px": xy[:, 0], "y_px": xy[:, 1]})
        boxes["w_px"] = side * (joints.x1_px - joints.x0_px) / self.shape[1]
        boxes["h_px"] = side * (joints.y1_px - joints.y0_px) / self.shape[0]
        return {"boxes": boxes.assign(conf=conf, source=np.where(unseen, "template", "model"))}

    @classmethod
    def figures(cls, oof: pd.DataFrame, of: str) -> dict[str, float]:
        """As of joint crops, and the paper's own: the root mean square error of the grades themselves."""
        error = (oof.pred - oof.target) ** 2
        return Joints.figures(oof, of) | {f"rmse_{f}": float(error[oof.finding == f].mean() ** 0.5) for f in FINDINGS}

    @classmethod
    def finished(cls, run: str, of: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        """The boxes, as a run of stage 1 of the same name; beside the set's own boxes where it has any."""
        folder, files = paths.run_dir(of, 2, run), []
        for split in ("oof", "test"):
            boxes = reduce_folds(pd.read_parquet(folder / f"boxes_{split}.parquet"))
            tables.BOXES.write(boxes if split == "oof" else boxes.assign(fold=-1), paths.boxes(of, run, split))
            files += [folder / f"boxes_{split}.parquet", paths.boxes(of, run, split)]
        if not paths.truth_boxes(of).is_file():
            return files, {}
        pair = tables.BOXES.read(paths.boxes(of, run, "oof")), tables.BOXES.read(paths.truth_boxes(of))
        return files, error_summary(*pair, tables.FILMS.read(paths.films(of)))
