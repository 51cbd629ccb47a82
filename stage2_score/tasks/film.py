"""Whole films -> every joint's position and its distributions over grades (Maziarz, Krason, Wojna 2021).

Joint centres are needed in training only; in prediction the network locates the joints itself. Its boxes are written as a
detector's, so that a config of crops can name this run as its `boxes`.
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
from stage2_score import scores
from stage2_score.config import Member
from stage2_score.data import open_array
from stage2_score.loss import grade_targets, log_grades
from stage2_score.networks.joint_masks import INNER, N_TYPES, TYPE
from stage2_score.networks.unet import CLASSES
from stage2_score.tasks.base import PictureTask, Predict, target_fields
from stage2_score.tasks.joints import Joints, rms
from stage2_score.whole_films import ROI, centre_file

# Grades per unit of erosion: a foot's 0..10 is learned as 0, 0.5 .. 5.
HALVED = {limb: MAX_GRADE[limb, "erosion"] // 5 for limb in JOINTS}


def to_roi(xy: np.ndarray, index: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Points (n, 2) of films -> pixels of their canonical pictures of shape (h, w). index: laterality and ROI of each point."""
    low, high = index[ROI[:2]].to_numpy(float), index[ROI[2:]].to_numpy(float)
    scale = np.array(shape[::-1]) / (high - low)
    canonical = (xy + 0.5 - low) * scale - 0.5
    return np.where(_mirrored(index), [shape[1] - 1, 0] - canonical * [1, -1], canonical)


def from_roi(xy: np.ndarray, index: pd.DataFrame, shape: tuple[int, int]) -> np.ndarray:
    """Inverse of to_roi: points (n, 2) of canonical pictures -> pixels of the upright, un-mirrored films."""
    low, high = index[ROI[:2]].to_numpy(float), index[ROI[2:]].to_numpy(float)
    upright = np.where(_mirrored(index), [shape[1] - 1, 0] - xy * [1, -1], xy)
    return (upright + 0.5) * (high - low) / np.array(shape[::-1]) - 0.5 + low


def _mirrored(index: pd.DataFrame) -> np.ndarray:
    return (index.laterality == "R").to_numpy()[:, None]


def per_joint(index: pd.DataFrame) -> pd.DataFrame:
    """Expand an index of films to one row per joint, with `film` (the film's position in the index) and `type`."""
    joints = index.reset_index(drop=True).rename_axis("film").reset_index()
    joints["joint"] = joints.part.map(lambda part: JOINTS[limb(part)])
    joints = joints.explode("joint", ignore_index=True)
    return joints.assign(type=joints.joint.map(TYPE))


class Film(PictureTask):
    """Pictures of limbs -> per joint type (22) erosion (6, a foot's halved), narrowing (5), centre (2) and conf."""

    input = "rois"
    eval_batch = 8
    outputs = (*FINDINGS, "centre", "conf")

    def __init__(self, *args: object, **options: object):
        super().__init__(*args, **options)
        if self.config.tta != 1:
            raise UserError("a film member has no test-time views; leave tta at 1 and train several seeds instead")
        self.shape: tuple[int, int] = self.pictures.array.shape[1:]
        self.erosion_factor = self.pictures.index.part.map(lambda part: HALVED[limb(part)]).to_numpy()  # grades per unit

    def has_target(self) -> np.ndarray:
        """Whether a film has both a grade and joint centres: without centres all its pixels would be learned as background."""
        return super().has_target() & ~np.isnan(self.pictures.fields["centres"]).all((1, 2))

    def sampler_grade(self) -> np.ndarray:
        grades = np.concatenate([self.pictures.fields[f] for f in FINDINGS], 1)
        return np.where(np.isnan(grades), -1, grades).max(1).clip(0)

    def prepare(self, network: nn.Module) -> None:
        """Start the grades' biases at their frequencies among the training joints."""
        for finding in FINDINGS:
            grades = torch.from_numpy(self.pictures.fields[finding][self.train_rows]).float()
            counts = grade_targets(grades, CLASSES[finding], 0.0).sum((0, 1))
            with torch.no_grad():
                network.heads[finding].bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    def validate(self, predict: Predict) -> dict[str, float]:
        """RMS errors of log2(grade + 1) as for joint crops, and the share of joints within 2 % of the picture's height."""
        outputs, fields = self.predict(predict, self.val_rows), self.pictures.fields
        factor, metrics = self.erosion_factor[self.val_rows, None], {}
        for name, finding in (("val_narrowing", "narrowing"), ("val_erosion", "erosion")):
            times = factor if finding == "erosion" else np.ones_like(factor)
            logs = log_grades(N_GRADES).numpy()[np.arange(CLASSES[finding]) * times]  # (n, grades)
            expected = (outputs[finding] * logs[:, None]).sum(2)
            metrics[name] = rms(expected - np.log2(fields[finding][self.val_rows] * times + 1))
        centres = fields["centres"][self.val_rows]
        error = np.hypot(*np.moveaxis(outputs["centre"] - centres, -1, 0))[~np.isnan(centres[..., 0])]
        metrics["val_found"] = float((error < 0.02 * self.shape[0]).mean())
        return {**metrics, "criterion": metrics["val_narrowing"] + metrics["val_erosion"]}

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        return Joints.rows(member, data)

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        """erosion, narrowing (n, 22) and centres (n, 22, 2) px of each film; NaN where unknown."""
        joints, rows = per_joint(index), cls.rows(member, data)
        position = joints.film.to_numpy(), joints.type.to_numpy(int)
        fields = {f: np.full((len(index), N_TYPES), np.nan) for f in FINDINGS}
        for finding, target in target_fields(rows, joints, FINDINGS).items():
            fields[finding][position] = target
        fields["erosion"] /= index.part.map(lambda part: HALVED[limb(part)]).to_numpy()[:, None]
        file = centre_file(data)
        boxes = tables.BOXES.read(file) if file.is_file() else pd.DataFrame(columns=["film_id", "joint", "x_px", "y_px"])
        boxes = boxes.set_index(["film_id", "joint"]).reindex(pd.MultiIndex.from_frame(joints[["film_id", "joint"]]))
        shape = open_array(paths.run_dir(data, 2, member.pictures), cls.input).shape[1:]
        fields["centres"] = np.full((len(index), N_TYPES, 2), np.nan)
        fields["centres"][position] = to_roi(boxes[["x_px", "y_px"]].to_numpy(float), joints, shape)
        return fields

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        joints = per_joint(index)
        p = {f: outputs[f][joints.film, joints.type.to_numpy(int)] for f in FINDINGS}
        of_hands, of_feet = np.zeros((2, len(joints), N_GRADES))
        of_hands[:, : CLASSES["erosion"]] = p["erosion"]
        of_feet[:, :: HALVED["foot"]] = p["erosion"]  # grades 0, 2 .. 10
        is_foot = (joints.part.map(limb) == "foot").to_numpy()[:, None]
        return scores.with_probabilities(rows, joints, {**p, "erosion": np.where(is_foot, of_feet, of_hands)})

    def extra_tables(self, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """Boxes with sides of 2 r (joint_masks.INNER); a joint without pixels gets its mean position in the training films."""
        joints = per_joint(index)
        position = joints.film, joints.type.to_numpy(int)
        centre, conf = outputs["centre"][position], outputs["conf"][position]
        unseen = np.isnan(conf)
        if unseen.any():
            mean, missing = self._mean_centres(), joints[unseen]
            centre[unseen] = [mean[limb(part)][kind] for part, kind in zip(missing.part, missing.type, strict=True)]
        side = 2 * self.config.loss.params.get("inner", INNER) * self.shape[1]
        xy = from_roi(centre, joints, self.shape)
        boxes = pd.DataFrame({"film_id": joints.film_id, "joint": joints.joint, "x_px": xy[:, 0], "y_px": xy[:, 1]})
        boxes["w_px"] = side * (joints.x1_px - joints.x0_px) / self.shape[1]
        boxes["h_px"] = side * (joints.y1_px - joints.y0_px) / self.shape[0]
        return {"boxes": boxes.assign(conf=conf, source=np.where(unseen, "template", "model"))}

    def _mean_centres(self) -> dict[str, np.ndarray]:
        """limb -> (22, 2) mean joint centres px of the training films; (0, 0) for a joint that none of them has."""
        limbs = self.pictures.index.part.map(limb).to_numpy()[self.train_rows]
        centres = self.pictures.fields["centres"][self.train_rows]
        means = {}
        for name in JOINTS:
            of_limb = centres[limbs == name]
            means[name] = np.nansum(of_limb, 0) / (~np.isnan(of_limb)).sum(0).clip(1)
        return means

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        """The metrics of joint crops, and the paper's: the root mean square error of the grades."""
        error = (oof.pred - oof.target) ** 2
        return Joints.metrics(oof, data) | {f"rmse_{f}": float(error[oof.finding == f].mean() ** 0.5) for f in FINDINGS}

    @classmethod
    def after_folds(cls, run: str, data: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        """Write the boxes as a stage-1 run of the same name; compare them with the boxes that came with the set, if any."""
        folder, files = paths.run_dir(data, 2, run), []
        for split in ("oof", "test"):
            boxes = reduce_folds(pd.read_parquet(folder / f"boxes_{split}.parquet"))
            tables.BOXES.write(boxes if split == "oof" else boxes.assign(fold=-1), paths.boxes(data, run, split))
            files += [folder / f"boxes_{split}.parquet", paths.boxes(data, run, split)]
        if not paths.truth_boxes(data).is_file():
            return files, {}
        pair = tables.BOXES.read(paths.boxes(data, run, "oof")), tables.BOXES.read(paths.truth_boxes(data))
        return files, error_summary(*pair, tables.FILMS.read(paths.films(data)))
