"""Pictures on disk, which of them an epoch draws, and the batches they make.

The pictures are what `crops` and `films` cut once, small and memory-mapped: no epoch reads the films themselves.
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
    """A memory-mapped array (n, px, px) of canonical pictures, its index, and float fields, one row each per index row.

    The field `centres` (n, K, 2) holds points in pixels of the pictures, which move with them in augmentation.
    """

    array: np.ndarray
    index: pd.DataFrame
    kind: np.ndarray
    fields: dict[str, np.ndarray]

    def batch(self, rows: np.ndarray, pictures: np.ndarray | None = None) -> dict[str, Tensor]:
        """Tensors of index rows: picture (n, 1, px, px) uint8, kind (n,), and each field (n,) float32."""
        pictures = self.array[self.index["row"].to_numpy()[rows]] if pictures is None else pictures
        named = {name: torch.from_numpy(values[rows].astype(np.float32)) for name, values in self.fields.items()}
        named |= {"extra": named["extra"][:, None]} if "extra" in named else {}
        return {"picture": torch.from_numpy(pictures[:, None]), "kind": torch.from_numpy(self.kind[rows]), **named}


def read_index(folder: Path, name: str) -> pd.DataFrame:
    """Index of the crops or canvases of a finished run of stage2_score.crops."""
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} has no finished crops; run python -m stage2_score.crops first")
    return pd.read_parquet(folder / f"{name}.parquet")


def open_array(folder: Path, name: str) -> np.ndarray:
    """The pictures themselves, memory-mapped."""
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def hold_back(persons: pd.Series, totals: pd.Series, frac: float, rng: np.random.Generator) -> set[str]:
    """Patients held back for choosing the epoch: about `frac` of the persons, spread evenly over their totals.

    persons, totals: indexed by patient_id. Persons stay whole; at least one is held back and at least one is left.
    """
    total = totals.groupby(persons).max().fillna(0.0).sort_values(kind="stable")
    n = int(np.clip(round(frac * len(total)), 1, len(total) - 1))
    if len(total) < 2:
        raise UserError("a training fold needs at least two persons; make fewer folds or add patients")
    chosen = total.index[((np.arange(n) + rng.random()) * len(total) / n).astype(int)]
    return set(persons.index[persons.isin(chosen)])


def draw(worst: np.ndarray, sampler: Sampler, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One epoch's positions into `worst` (the worst grade of each picture, NaN when none is scored) and their loss weights.

    Balanced: a picture whose grade is shared by n is drawn with probability ~ n^-strength, low-variance (each picture the
    whole number of times below or above its expectation). The weight (natural / drawn)^correct has mean 1 over the draw.
    Weighted: each once, with the weight N / (K n_k) of its grade k, one of K that occur (Rohrbach et al. 2019, section 3.3.2).
    """
    n = sampler.epoch_size or len(worst)
    grade = np.nan_to_num(worst, nan=0.0).round().astype(int).clip(0, 5)
    count = np.bincount(grade, minlength=6)
    if sampler.name == "weighted":
        drawn = rng.permutation(len(worst))[:n]
        return drawn, len(worst) / ((count > 0).sum() * count[grade[drawn]])
    frequency = np.full(len(worst), 1 / len(worst))
    if sampler.name == "balanced":
        frequency = count[grade].astype(float) ** -sampler.strength
        frequency /= frequency.sum()
    edges = np.cumsum(frequency[(order := rng.permutation(len(worst)))])
    drawn = order[np.searchsorted(edges / edges[-1], (np.arange(n) + rng.random()) / n)]
    weight = (1 / (len(worst) * frequency[drawn])) ** sampler.correct
    shuffle = rng.permutation(n)
    return drawn[shuffle], (weight / weight.mean())[shuffle]


class _Batches(Dataset):
    """An epoch as a list of batches: whichever process makes batch i, it makes the same one."""

    def __init__(self, pictures: Pictures, parts: list[tuple], change: Augment, seed: tuple[int, ...]):
        self.pictures, self.parts, self.seed = pictures, parts, seed
        self.transform = augment.compose(change, pictures.array.shape[-1], "centres" in pictures.fields)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        rows, weight = self.parts[i]
        plain = self.pictures.array[self.pictures.index["row"].to_numpy()[rows]]
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
    pictures: Pictures, draw: tuple[np.ndarray, np.ndarray], *, batch: int, change: Augment, seed: tuple, workers: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Augmented batches of drawn index rows and weights; equal seeds give equal ones with any number of loader processes."""
    steps = n_steps(len(draw[0]), batch)
    parts = list(zip(*(np.array_split(values, steps) for values in draw), strict=True))
    yield from DataLoader(_Batches(pictures, parts, change, seed), batch_size=None, num_workers=workers)


def plain_batches(pictures: Pictures, rows: np.ndarray, batch: int, tta: int = 1) -> Iterator[list[dict[str, Tensor]]]:
    """Unchanged batches in order; each is a list of its `tta` views."""
    for part in np.array_split(rows, max(1, -(-len(rows) // batch))):
        plain = np.ascontiguousarray(pictures.array[pictures.index["row"].to_numpy()[part]])
        yield [pictures.batch(part, view) for view in augment.views(plain, tta)]
