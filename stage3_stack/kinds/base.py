"""The interface between the commands of stage 3 and a kind of run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd

from stage3_stack.uncertainty.prediction_table import Predictions

Config = TypeVar("Config")


@dataclass(frozen=True)
class Trained:
    """Result of a training: its files, and the out-of-fold metrics of the submitted predictions and of every learner."""

    files: list[Path]
    metrics: dict[str, float]  # for run.json
    by_learner: dict[str, dict[str, float]]  # for metrics.json and log.csv
    summary: str  # of the metrics, for the terminal
    seed: int = 0


@dataclass(frozen=True)
class Submission:
    """A submission that is ready to be written."""

    table: pd.DataFrame  # the CSV, in its order of rows and columns
    split: str  # test, or oof (the training patients out of fold) for a set without test rows
    summary: str  # for the terminal
    template: pd.DataFrame | None = None  # the written CSV is checked against it
    interval_columns: list[str] = field(default_factory=list)  # columns whose intervals are written next to the CSV
    ranked: bool = False  # scored by the challenge, and listed in submissions/ledger.csv


class Kind(ABC, Generic[Config]):
    """One kind of run. The commands write run.json, records and submissions, in the same way for all kinds; a kind does not."""

    has_intervals = True

    @abstractmethod
    def inputs(self, data: str, config: Config) -> list[Path]:
        """Files and run folders that training reads; a run whose inputs changed is made again."""

    @abstractmethod
    def train(self, data: str, config: Config, folder: Path) -> Trained:
        """Cross-fit on the training patients, refit for the test patients, and write the tables into the run's folder."""

    def predictions(self, data: str, folder: Path, config: Config) -> Predictions:
        """Predictions of a finished run with their difficulties, for stage3_stack.intervals; only if `has_intervals`."""
        raise NotImplementedError

    @abstractmethod
    def submission_inputs(self, data: str, config: Config) -> list[Path]:
        """Files from which the submission is made, besides the run and its intervals; they may be absent."""

    @abstractmethod
    def submission(self, data: str, folder: Path, config: Config) -> Submission:
        """The submission of a finished run; UserError when there is nothing to submit."""
