"""What a network sees in a crop, as a point: its pooled features, a map of them, and crops unlike their neighbours.

Features of different networks cannot be compared, so neighbours are looked for within one fold. They are the backbone's output
before the head: the network is told which joint is shown only after it, so that the map knows the picture alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from ra.anatomy import FINDINGS, N_GRADES
from stage2_score.explain.heldout_networks import PLACE, HeldOut

BATCH = 256
ROW = {"thumb": "pip", "hallux": "mtp"}  # whose joints look like whose


def features(network: nn.Module, held: HeldOut, pictures: np.ndarray) -> np.ndarray:
    """(n, channels) float32: the backbone's pooled output for index rows of the pictures."""
    seen: list[torch.Tensor] = []
    watch = network.backbone.register_forward_hook(lambda module, shown, out: seen.append(out.float().cpu()))  # noqa: ARG005
    try:
        with torch.no_grad():
            for part in np.array_split(pictures, max(1, -(-len(pictures) // BATCH))):
                batch = held.batch(part)
                network(batch["picture"], batch["kind"], batch.get("extra"))
    finally:
        watch.remove()
    return torch.cat(seen).numpy()


def spread(grade: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Positions, ascending, of at most n crops: as many of every grade as there are, the frequent ones thinned out first."""
    order = np.random.default_rng(seed).permutation(len(grade))
    turn = pd.Series(grade[order]).groupby(grade[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn, kind="stable")[:n]])


def tsne(points: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) t-SNE (van der Maaten, Hinton 2008) of points (n, channels), the same in every run: started from their PCA, on one
    thread, since the order in which several add up their parts is chance.

    Units mean nothing; the perplexity is 30, less where there are few points.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):
        return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)


def kin(joints: pd.Series) -> np.ndarray:
    """Which row of joints each belongs to: pip, mcp, wrist, mtp. Only these are compared with one another."""
    row = joints.str.split("_").str[0]
    return row.replace(ROW).to_numpy()


def neighbours_grade(points: np.ndarray, target: np.ndarray, person: np.ndarray, k: int) -> np.ndarray:
    """(n,) mean target of each point's k nearest neighbours of other persons; NaN where there are fewer than k."""
    from sklearn.neighbors import NearestNeighbors

    code, count = pd.factorize(person)[0], pd.Series(person).value_counts().max()
    ask = min(len(points), k + int(count))  # enough, even if the nearest are all the person's own
    near = NearestNeighbors(n_neighbors=ask).fit(points).kneighbors(points, return_distance=False)
    other = code[near] != code[:, None]
    first = other & (np.cumsum(other, axis=1) <= k)
    mean = (target[near] * first).sum(axis=1) / np.maximum(first.sum(axis=1), 1)
    return np.where(first.sum(axis=1) == k, mean, np.nan)


def unlike(rows: pd.DataFrame, points: np.ndarray, k: int) -> pd.DataFrame:
    """Rows (joint, person_id, finding, target, max_score) with `neighbours`, the mean target of those that look alike: of the
    same finding and row of joints, on the same scale, of other persons. points (n, channels): one per row."""
    near = np.full(len(rows), np.nan)
    groups = rows.reset_index(drop=True).groupby([kin(rows.joint), rows.finding.to_numpy(), rows.max_score.to_numpy()])
    for _, group in groups:
        own = group.index[group.target.notna()].to_numpy()
        if len(own) > k:
            near[own] = neighbours_grade(points[own], group.target[own].to_numpy(), group.person_id[own].to_numpy(), k)
    return rows.assign(neighbours=near)


def outliers(rows: pd.DataFrame, each: int) -> pd.DataFrame:
    """The `each` rows of every finding whose target is farthest from their neighbours', in shares of the scale."""
    far = rows.assign(gap=(rows.target - rows.neighbours) / rows.max_score).dropna(subset="gap")
    far = far.reindex(far.gap.abs().sort_values(ascending=False, kind="stable").index)
    return far.groupby("finding", sort=True).head(each).sort_values("finding", kind="stable").reset_index(drop=True)


def embed(held: HeldOut, n_points: int, k: int, each: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(embeddings: x, y, fold, PLACE, and target and pred of each finding, of the fold with most pictures; outliers of all)."""
    found, largest = [], None
    for fold in sorted(held.fold_of.unique()):
        pictures = held.unseen(fold)
        seen = features(held.network(fold, pictures), held, pictures)
        rows = held.rows[held.rows.fold == fold]
        at = pd.Series(np.arange(len(pictures)), pictures).reindex(held.picture_of(rows)).to_numpy()
        rows, at = rows[~np.isnan(at)], at[~np.isnan(at)].astype(int)
        found.append(unlike(rows, seen[at], k))
        if largest is None or len(pictures) > len(largest[1]):
            largest = fold, pictures, seen
    fold, pictures, seen = largest
    return _map(held, fold, pictures, seen, n_points, seed), outliers(pd.concat(found, ignore_index=True), each)


def _map(held: HeldOut, fold: int, pictures: np.ndarray, seen: np.ndarray, n_points: int, seed: int) -> pd.DataFrame:
    wide = held.rows[held.rows.fold == fold].pivot_table(["target", "pred"], PLACE, "finding", dropna=False)
    index = held.pictures.index[PLACE].iloc[pictures]
    grades = wide.reindex(pd.MultiIndex.from_frame(index))
    grades.columns = [finding if what == "target" else f"{finding}_pred" for what, finding in grades.columns]
    table = pd.concat([index.reset_index(drop=True), grades.reset_index(drop=True)], axis=1).assign(fold=fold)
    worst = table[[f for f in FINDINGS if f in table]].max(axis=1)
    known = np.flatnonzero(worst.notna())
    if len(known) < 5:  # nothing to lay out
        return table.iloc[:0].assign(x=np.nan, y=np.nan)
    keep = known[spread(worst.to_numpy()[known].clip(0, N_GRADES), n_points, seed)]
    x, y = tsne(seen[keep], seed).T
    return table.iloc[keep].assign(x=x, y=y).reset_index(drop=True)
