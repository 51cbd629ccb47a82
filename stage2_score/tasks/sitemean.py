"""The null model: each site's grade frequencies among the training patients. No picture, no network."""

from __future__ import annotations

from pathlib import Path

from ra import paths, tables
from stage2_score import scores
from stage2_score.config import Member, TrainingContext
from stage2_score.tasks.base import FittedFold, MemberTask
from stage2_score.tasks.joints import Joints

ALL_FOLDS = -1  # fold number that stands for frequencies among all training patients


class SiteMean(MemberTask):
    """Grade frequencies of each site, with the rows and metrics of a joint member."""

    rows, metrics = Joints.rows, Joints.metrics

    @classmethod
    def choose_start(cls, member: Member, context: TrainingContext, folder: Path) -> tuple[Member, None]:
        return member, None

    @classmethod
    def train_fold(
        cls,
        name: str,
        member: Member,
        context: TrainingContext,
        fold: int,
        split: tuple[set, set, set],
        runtime: None,
    ) -> FittedFold:
        """Count the grades of all patients who are not predicted; the held-back ones are included, as no epoch is chosen."""
        train, held_back, _ = split
        return _fitted(context.data, train | held_back)

    @classmethod
    def trained_folds(cls, name: str, member: Member, trained: str) -> list[int]:
        return [ALL_FOLDS]

    @classmethod
    def load_fold(cls, name: str, member: Member, trained: str, fold: int, context: TrainingContext) -> FittedFold:
        """Count the grades of all training patients of the set `trained`."""
        sites = tables.SITES.read(paths.sites(trained))
        return _fitted(trained, set(sites[sites.split == "train"].patient_id))


def _fitted(data: str, patients: set[str]) -> FittedFold:
    sites = scores.site_rows(tables.SITES.read(paths.sites(data)))
    train = sites[sites.patient_id.isin(patients)]
    return FittedFold(
        lambda wanted: (scores.site_means(train, wanted), {}), {"seconds": 0.0, "start": "grade frequencies", "parameters": 0}
    )
