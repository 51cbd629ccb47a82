"""Pictures on disk, the draw of pictures for an epoch, and its batches.

stage2_score.pictures cuts the pictures once, into memory-mapped arrays, so that no epoch has to read the films.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ra.config import UserError
from stage2_score import augment
from stage2_score.config import Augment, Sampler


@dataclass(frozen=True)
class Pictures:
    """Canonical pictures with their targets. The index, `kind` and every field have one row per picture.

    The field `centres` (n, K, 2) holds points in pixels of the pictures, which move with them in augmentation.
    """

    array: np.ndarray  # (n, px, px) uint8, memory-mapped; picture i of the index is array[index.row[i]]
    index: pd.DataFrame
    kind: np.ndarray  # (n,) what is shown: networks.network.kind_of
    fields: dict[str, np.ndarray]  # targets and further inputs, NaN where unknown

    def __len__(self) -> int:
        return len(self.index)

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """The pictures of index rows, (n, px, px) uint8."""
        return self.array[self.index["row"].to_numpy()[rows]]

    def batch(self, rows: np.ndarray, pictures: np.ndarray | None = None) -> dict[str, Tensor]:
        """Tensors of index rows: picture (n, 1, px, px) uint8, kind (n,), and each field (n,) float32.

        pictures: changed versions of these pictures, such as augmented ones.
        """
        pictures = self.pixels(rows) if pictures is None else pictures
        fields = {name: torch.from_numpy(values[rows].astype(np.float32)) for name, values in self.fields.items()}
        if "extra" in fields:
            fields["extra"] = fields["extra"][:, None]
        return {"picture": torch.from_numpy(pictures[:, None]), "kind": torch.from_numpy(self.kind[rows]), **fields}


def read_index(folder: Path, name: str) -> pd.DataFrame:
    """Index of an array (crops, canvases, rois, hands) of a finished run of stage2_score.pictures."""
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} has no finished pictures; run python -m stage2_score.pictures first")
    return pd.read_parquet(folder / f"{name}.parquet")


def open_array(folder: Path, name: str) -> np.ndarray:
    """The pictures of an array, memory-mapped."""
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def hold_back(persons: pd.Series, totals: pd.Series, frac: float, rng: np.random.Generator) -> set[str]:
    """Patients held back for choosing the epoch: about `frac` of the persons, spread evenly over their totals.

    persons, totals: indexed by patient_id. All patient_ids of a person stay together; at least one person is held back and at
    least one is left.
    """
    total = totals.groupby(persons).max().fillna(0.0).sort_values(kind="stable")
    n = int(np.clip(round(frac * len(total)), 1, len(total) - 1))
    if len(total) < 2:
        raise UserError("a training fold needs at least two persons; make fewer folds or add patients")
    chosen = total.index[((np.arange(n) + rng.random()) * len(total) / n).astype(int)]
    return set(persons.index[persons.isin(chosen)])


def draw(grades: np.ndarray, sampler: Sampler, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one epoch: positions into `grades` (one per picture, NaN when not scored) and their loss weights.

    Balanced: a picture whose grade n pictures have is drawn with probability ~ n^-strength, by low-variance sampling (it is drawn
    as often as expected, rounded up or down). The weight (natural / drawn frequency)^correct has mean 1 over the draw.
    Weighted: each picture once, with weight N / (K n_k) for grade k of the K that occur (Rohrbach et al. 2019, section 3.3.2).
    """
    n = sampler.epoch_size or len(grades)
    grade = np.nan_to_num(grades, nan=0.0).round().astype(int).clip(0, 5)
    count = np.bincount(grade, minlength=6)
    if sampler.name == "weighted":
        drawn = rng.permutation(len(grades))[:n]
        return drawn, len(grades) / ((count > 0).sum() * count[grade[drawn]])
    frequency = np.full(len(grades), 1 / len(grades))
    if sampler.name == "balanced":
        frequency = count[grade].astype(float) ** -sampler.strength
        frequency /= frequency.sum()
    order = rng.permutation(len(grades))
    edges = np.cumsum(frequency[order])
    drawn = order[np.searchsorted(edges / edges[-1], (np.arange(n) + rng.random()) / n)]
    weight = (1 / (len(grades) * frequency[drawn])) ** sampler.correct
    shuffle = rng.permutation(n)
    return drawn[shuffle], (weight / weight.mean())[shuffle]


class _Batches(Dataset):
    """An epoch as a list of batches; batch i depends on the seed and i alone, not on the process that makes it."""

    def __init__(self, pictures: Pictures, batches: list[tuple], change: Augment, seed: tuple[int, ...]):
        """batches: index rows and their loss weights, per batch."""
        self.pictures, self.batches, self.seed = pictures, batches, seed
        self.transform = augment.compose(change, pictures.array.shape[-1], "centres" in pictures.fields)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        rows, weight = self.batches[i]
        plain = self.pictures.pixels(rows)
        seed = int(np.random.SeedSequence((*self.seed, i)).generate_state(1)[0])
        weights = {"weight": torch.from_numpy(weight.astype(np.float32))}
        if (points := self.pictures.fields.get("centres")) is None:
            return self.pictures.batch(rows, augment.apply(self.transform, plain, seed)) | weights
        changed, centres = augment.apply_with_points(self.transform, plain, points[rows], seed)
        return self.pictures.batch(rows, changed) | weights | {"centres": torch.from_numpy(centres.astype(np.float32))}


def n_steps(n: int, batch: int) -> int:
    """Batches per epoch: equal shares of about `batch` pictures."""
    return max(1, round(n / batch))


def epoch_batches(
    pictures: Pictures, drawn: tuple[np.ndarray, np.ndarray], *, batch: int, change: Augment, seed: tuple, workers: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Augmented batches of drawn index rows and weights; equal seeds give equal batches with any number of loader processes."""
    rows, weights = drawn
    steps = n_steps(len(rows), batch)
    batches = list(zip(np.array_split(rows, steps), np.array_split(weights, steps), strict=True))
    yield from DataLoader(_Batches(pictures, batches, change, seed), batch_size=None, num_workers=workers)


def plain_batches(pictures: Pictures, rows: np.ndarray, batch: int, tta: int = 1) -> Iterator[list[dict[str, Tensor]]]:
    """Batches without augmentation, in order; each is a list of its `tta` views."""
    for batch_rows in np.array_split(rows, max(1, -(-len(rows) // batch))):
        plain = np.ascontiguousarray(pictures.pixels(batch_rows))
        yield [pictures.batch(batch_rows, view) for view in augment.views(plain, tta)]
