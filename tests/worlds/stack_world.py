"""A prepared set without films for the tests of stage 3: patients with a latent severity, noisy readers and noisy members.

`data_folders` gives a test its own folders of data and submissions, `make` writes the set, and SMALL_STACK is trained on it fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml

from ra import atomic, folds, paths, tables
from ra.anatomy import ALL_PARTS, BOTH_HANDS, FINDINGS, PARTS, RATINGEN, RATINGEN_JOINTS, SEVERITY, SITES, limb
from ra.clinical import percent2grade
from ra.config import Named
from ra.tables import PROBABILITIES
from stage3_stack.config import JointStack

LEARNERS = (Named("mean"), Named("ridge"))
SMALL_STACK = JointStack("joints", ("m0", "m1", "film"), LEARNERS, LEARNERS, inner_folds=2, bags=2)

# latent damage at which a grade begins; narrowing skips 1 mostly, foot erosion has two sides
STEPS = {5: (1.0, 1.7, 2.2, 2.7, 3.2), 4: (1.0, 1.15, 2.0, 2.7), 10: (1.0, 1.6, 2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 3.8, 4.1)}


@contextmanager
def data_folders(folder: Path) -> Iterator[Path]:
    """Keep data in `folder` and submissions in its subfolder `submissions` until the block ends; gives the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RA_DATA", str(folder))
        patch.setenv("RA_SUBMISSIONS", str(folder / "submissions"))
        yield folder


def call(verb: ModuleType, *arguments: str) -> None:
    """Run a verb with its command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["verb", *arguments])
        verb.run()


def grade(latent: np.ndarray) -> np.ndarray:
    """(n, 86) grades of latent damage (n, 86)."""
    return np.stack([np.searchsorted(STEPS[s.max_grade], latent[:, j]) for j, s in enumerate(SITES)], axis=1).astype(float)


def latent_damage(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 86) sums of noise of the patient, of the joint on both sides, of the joint's two findings and of the site."""
    joint = {k: i for i, k in enumerate(dict.fromkeys((s.part, s.joint) for s in SITES))}
    kind = {k: i for i, k in enumerate(dict.fromkeys((limb(s.part), s.joint) for s in SITES))}
    severity = np.where(rng.random(n) < 0.1, -2.0, rng.gamma(2.0, 0.45, n) - 0.8)
    of_pair, of_joint = rng.normal(0, 0.35, (n, len(kind))), rng.normal(0, 0.35, (n, len(joint)))
    base = rng.normal(-0.1, 0.35, len(kind))
    out = severity[:, None] + rng.normal(0, 0.45, (n, len(SITES)))
    for j, s in enumerate(SITES):
        k = kind[limb(s.part), s.joint]
        out[:, j] += base[k] + of_pair[:, k] + of_joint[:, joint[s.part, s.joint]]
    return out


def distribution(seen: np.ndarray, sigma: float, frequency: np.ndarray) -> np.ndarray:
    """(n, 86, 11) posterior over grades of a member that saw `seen` with an error of sigma; the prior is the grade frequency."""
    out = np.full((*seen.shape, len(PROBABILITIES)), np.nan)
    for j, s in enumerate(SITES):
        steps = np.array(STEPS[s.max_grade])
        centre = np.r_[steps[0] - 1.1, (steps[1:] + steps[:-1]) / 2, steps[-1] + 0.3]
        p = frequency[j, : len(centre)] * np.exp(-0.5 * np.square((seen[:, j, None] - centre) / np.hypot(sigma, 0.3)))
        out[:, j, : len(centre)] = p / p.sum(axis=1, keepdims=True)
    return out


def head(run: str, split: str, fold: np.ndarray, patients: np.ndarray, width: int) -> dict:
    """The columns that every Scores row has, `width` rows per patient."""
    people = {"fold": np.repeat(fold, width), "patient_id": np.repeat(patients, width)}
    return {"run": run, "split": split, "seed": 0, "visit": 1, "target": np.nan, **people}


def scores_table(start: dict, p: np.ndarray, gone: np.ndarray) -> pd.DataFrame:
    """Scores rows of a joint member; `gone` (n, 86) is True at sites without a film."""
    p = np.where(gone[..., None], np.nan, p)
    n, sites = p.shape[:2]
    known = np.arange(p.shape[2]) <= np.array([s.max_grade for s in SITES])[:, None]
    pred = np.where(gone, np.nan, np.nansum(p * np.arange(p.shape[2]), axis=2))
    column = {name: np.tile([getattr(s, name) for s in SITES], n) for name in ("part", "site", "finding", "max_grade")}
    values = np.where(known, p, np.nan).reshape(n * sites, p.shape[2])
    return pd.DataFrame(
        start
        | {k: column[k] for k in ("part", "site", "finding")}
        | {"pred": pred.ravel()}
        | {name: values[:, k] for k, name in enumerate(PROBABILITIES)}
        | {"max_score": column["max_grade"], "box_source": np.where(gone.ravel(), "none", "model")}
    )  # fmt: skip


def film_table(start: dict, totals: np.ndarray) -> pd.DataFrame:
    """Scores rows of a whole-film member; totals (n, 4 parts, 2 findings)."""
    n = len(totals)
    keys = [(part, finding) for part in PARTS for finding in FINDINGS]
    return pd.DataFrame(
        start
        | {"part": [k[0] for k in keys] * n, "site": "total", "finding": [k[1] for k in keys] * n}
        | {"pred": totals.ravel(), "max_score": 160, "box_source": None}
        | dict.fromkeys(PROBABILITIES, np.nan)
    )


def hands_table(start: dict, pred: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Scores rows of a both-hands member; pred and target (n,) totals 0..280."""
    columns = {"part": BOTH_HANDS, "site": "total", "finding": "total", "pred": pred, "max_score": 280, "box_source": None}
    return pd.DataFrame(start | columns | {"target": target} | dict.fromkeys(PROBABILITIES, np.nan))


def severity_table(start: dict, p: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Scores rows of a severity classifier; p (n, 10), target (n,) classes."""
    columns = {"part": BOTH_HANDS, "site": SEVERITY, "finding": "total", "max_score": 9, "box_source": None}
    probabilities = {f"p{k}": p[:, k] for k in range(10)} | {"p10": np.nan}
    return pd.DataFrame(start | columns | {"target": target, "pred": p @ np.arange(10)} | probabilities)


def ratingen_table(start: dict, p: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """Scores rows of a Ratingen member; p (n, 34 joints, 6), target (n, 34) grades."""
    columns = {"part": [k[0] for k in RATINGEN_KEYS] * len(p), "site": [RATINGEN + k[1] for k in RATINGEN_KEYS] * len(p)}
    columns |= {"finding": "erosion", "pred": (p @ np.arange(6)).ravel(), "max_score": 5, "box_source": "model"}
    probabilities = {name: p[..., k].ravel() if k < 6 else np.nan for k, name in enumerate(PROBABILITIES)}
    return pd.DataFrame(start | columns | {"target": target.ravel()} | probabilities)


RATINGEN_KEYS = [(part, joint) for part in PARTS for joint in RATINGEN_JOINTS[limb(part)]]
BOUNDS = [1, 5, 10, 15, 20, 30, 50, 80, 140]  # totals at which the classes 1..9 of severity begin


def eroded_percent(latent: np.ndarray) -> np.ndarray:
    """(n, 34) percent of each Ratingen joint, in steps of 5, from the worst latent damage (n, 86) of its erosion sites."""
    erosion = [(_ratingen_key(s), j) for j, s in enumerate(SITES) if s.finding == "erosion"]
    worst = np.stack([latent[:, [j for key, j in erosion if key == wanted]].max(axis=1) for wanted in RATINGEN_KEYS], axis=1)
    return 5.0 * np.round(np.clip((worst - 0.9) / 3.0, 0, 1) * 20)


def _ratingen_key(site) -> tuple[str, str]:
    return site.part, "wrist" if site.joint.startswith("wrist") else site.joint


def near(level: np.ndarray, n_classes: int, sigma: float) -> np.ndarray:
    """(..., n_classes) distributions over classes, each centred at a level (...)."""
    p = np.exp(-0.5 * np.square((level[..., None] - np.arange(n_classes)) / sigma))
    return p / p.sum(axis=-1, keepdims=True)


def sites_table(patients: np.ndarray, split: np.ndarray, grades: np.ndarray) -> pd.DataFrame:
    """86 sites and 3 totals per patient; test targets NaN."""
    erosion = np.array([s.finding == "erosion" for s in SITES])
    sums = np.stack([grades[:, erosion].sum(1), grades[:, ~erosion].sum(1), grades.sum(1)], axis=1)
    keys = [(s.part, s.joint, s.site, s.finding) for s in SITES] + [(ALL_PARTS, "all", "total", f) for f in (*FINDINGS, "total")]
    target = np.where((split == "test")[:, None], np.nan, np.concatenate([grades, sums], axis=1))
    repeat = len(keys)
    table = pd.DataFrame([k for _ in patients for k in keys], columns=["part", "joint", "site", "finding"])
    people = np.repeat(patients, repeat)
    return table.assign(patient_id=people, person_id=people, visit=1, target=target.ravel(), split=np.repeat(split, repeat))


def gold_table(patients: np.ndarray, grades: np.ndarray) -> pd.DataFrame:
    """Grades in the challenge's columns, indexed by patient."""
    erosion = np.array([s.finding == "erosion" for s in SITES])
    table = pd.DataFrame(grades, index=pd.Index(patients, name="Patient_ID"), columns=[s.column for s in SITES])
    sums = {
        "Overall_Tol": grades.sum(1),
        "Overall_erosion": grades[:, erosion].sum(1),
        "Overall_narrowing": grades[:, ~erosion].sum(1),
    }
    return pd.concat([pd.DataFrame(sums, index=table.index), table], axis=1)


def make(
    data: str, *, n_train: int = 70, n_test: int = 40, n_folds: int = 3, seed: int = 0, noise: tuple = (0.9, 1.0, 1.2)
) -> dict:
    """Write a prepared set and its members m0, m1, ... and film; return its tables and the names of its members."""
    rng = np.random.default_rng(seed)
    n = n_train + n_test
    patients = np.array([f"UAB{i:03d}" for i in range(n)], dtype=object)
    split = np.where(np.arange(n) < n_train, "train", "test").astype(object)
    latent = latent_damage(n, rng)
    truth, reader = grade(latent), grade(latent + rng.normal(0, 0.12, (n, 1)) + rng.normal(0, 0.3, latent.shape))
    tables.SITES.write(sites_table(patients, split, reader), paths.sites(data))
    people = pd.DataFrame({"patient_id": patients, "person_id": patients, "total": reader.sum(1)})[:n_train]
    fold_table = folds.make(people, n_folds, seed)
    tables.FOLDS.write(fold_table, paths.folds(data))
    fold = fold_table.set_index("patient_id").fold.loc[patients[:n_train]].to_numpy()
    gone = np.zeros(latent.shape, dtype=bool)
    gone[2, [s.part == "LH" for s in SITES]] = gone[-2, [s.part == "RF" for s in SITES]] = True
    frequency = np.stack([(grade(latent_damage(4000, rng)) == k).mean(axis=0) for k in range(11)], axis=1) + 1e-4
    shared = rng.normal(0, 0.4, latent.shape)
    members = [f"m{i}" for i in range(len(noise))]
    for run, sigma in zip(members, noise, strict=True):
        seen = latent + shared + rng.normal(0, sigma, latent.shape) + rng.normal(0, 0.2, (n, 1))
        p = distribution(seen, sigma, frequency)
        write(data, run, fold, patients, lambda start, rows, p=p: scores_table(start(86), p[rows], gone[rows]))
    totals = np.stack([[truth[:, [s.part == p and s.finding == f for s in SITES]].sum(1) for f in FINDINGS] for p in PARTS])
    blur = rng.normal(0, 0.5, (n, 4, 2)) + rng.normal(0, 0.4, (n, 1, 1))
    totals = ((totals.transpose(2, 0, 1) + 1) * np.exp(blur)).clip(0, 100)
    write(data, "film", fold, patients, lambda start, rows: film_table(start(8), totals[rows]))
    others = [*hand_members(data, fold, patients, reader, rng), ratingen_member(data, fold, patients, latent, split, rng)]
    test = split == "test"
    return {
        "gold": gold_table(patients[test], reader[test]), "truth": gold_table(patients[test], truth[test]),
        "train_gold": gold_table(patients[~test], reader[~test]), "train_truth": gold_table(patients[~test], truth[~test]),
        "members": [*members, "film"], "fold": fold, "others": others,
        "percent": pd.DataFrame(eroded_percent(latent), index=patients, columns=pd.MultiIndex.from_tuples(RATINGEN_KEYS)),
    }  # fmt: skip


def hand_members(data: str, fold: np.ndarray, patients: np.ndarray, reader: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Three regressors of both hands' total and three classifiers of its class; the fourth patient has no film of a hand."""
    total = reader[:, [limb(s.part) == "hand" for s in SITES]].sum(axis=1)
    level = np.searchsorted(BOUNDS, total, side="right").astype(float)
    known = np.arange(len(patients)) < len(fold)
    shared, names = rng.normal(0, 0.2, len(patients)), []
    for i, sigma in enumerate((0.3, 0.4, 0.5)):
        pred = (total + 2) * np.exp(shared + rng.normal(0, sigma, len(total)))
        p = near(level + 2 * shared + rng.normal(0, 3 * sigma, len(total)), 10, 4 * sigma)
        pred[3], p[3] = np.nan, np.nan
        for name, table, values, truth in (("total", hands_table, pred.clip(0, 280), total), ("class", severity_table, p, level)):
            target = np.where(known, truth, np.nan)
            names.append(f"{name}{i}")
            write(data, names[-1], fold, patients, partial(_rows, table, values, target))
            saved = {"head": {"name": "severity", "params": {"bounds": BOUNDS}}}
            (paths.run_dir(data, 2, names[-1]) / "config.yaml").write_text(yaml.safe_dump(saved))
    return names


def _rows(table: Callable, values: np.ndarray, target: np.ndarray, start: Callable, rows: np.ndarray) -> pd.DataFrame:
    return table(start(1), values[rows], target[rows])


def ratingen_member(
    data: str, fold: np.ndarray, patients: np.ndarray, latent: np.ndarray, split, rng: np.random.Generator
) -> str:
    """Write the Ratingen table of reader 1 and the member `eroded`, which predicts it with noise; return the member's name."""
    percent = eroded_percent(latent)
    target = np.vectorize(percent2grade)(percent).astype(float)
    target[split == "test"] = np.nan
    p = near(percent / 20 + rng.normal(0, 0.6, percent.shape), 6, 0.7)
    p[3, [part == "LH" for part, _ in RATINGEN_KEYS]] = np.nan
    keys = pd.DataFrame(RATINGEN_KEYS * len(patients), columns=["part", "joint"])
    people = np.repeat(patients, len(RATINGEN_KEYS))
    columns = {"patient_id": people, "person_id": people, "visit": 1, "split": np.repeat(split, len(RATINGEN_KEYS))}
    given = np.where((split == "test")[:, None], np.nan, percent)
    tables.RATINGEN.write(keys.assign(percent=given.ravel(), **columns), paths.ratingen(data))
    write(data, "eroded", fold, patients, lambda start, rows: ratingen_table(start(len(RATINGEN_KEYS)), p[rows], target[rows]))
    return "eroded"


def write(data: str, run: str, fold: np.ndarray, patients: np.ndarray, rows: Callable) -> None:
    """A finished stage-2 run: out-of-fold rows of the training patients, one row per fold model of the test patients."""
    train, test = np.arange(len(fold)), np.arange(len(fold), len(patients))
    oof = rows(lambda width: head(run, "oof", fold, patients[train], width), train)
    per_fold = [rows(lambda width, k=k: head(run, "test", np.full(len(test), k), patients[test], width), test) for k in set(fold)]
    tables.SCORES.write(oof, paths.scores(data, 2, run, "oof"))
    tables.SCORES.write(pd.concat(per_fold), paths.scores(data, 2, run, "test"))
    atomic.write_json(paths.run_dir(data, 2, run) / "run.json", {"run": run, "seconds": 60.0, "metrics": {}})
