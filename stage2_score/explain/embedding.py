"""Pooled features of crops, a t-SNE map of them, and crops whose grade differs from that of their neighbours.

Features of different networks are not comparable, so neighbours are searched within one fold. The features are the backbone's
output, before the joint's embedding is added, so that the map depends on the picture alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from ra.anatomy import FINDINGS, N_GRADES
from stage2_score.explain.heldout_networks import PLACE, HeldOutNetworks

BATCH = 256
SIMILAR_ROW = {"thumb": "pip", "hallux": "mtp"}  # first word of a joint -> the row of joints that it resembles


def features(network: nn.Module, held_out: HeldOutNetworks, pictures: np.ndarray) -> np.ndarray:
    """(n, channels) float32: the backbone's pooled output for index rows of the pictures."""
    collected: list[torch.Tensor] = []
    hook = network.backbone.register_forward_hook(lambda module, args, out: collected.append(out.float().cpu()))  # noqa: ARG005
    try:
        with torch.no_grad():
            for batch_rows in np.array_split(pictures, max(1, -(-len(pictures) // BATCH))):
                batch = held_out.batch(batch_rows)
                network(batch["picture"], batch["kind"], batch.get("extra"))
    finally:
        hook.remove()
    return torch.cat(collected).numpy()


def balanced_subset(grade: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Positions, ascending, of at most n crops, taken from the grades in turn so that no crop of a rare grade is lost."""
    order = np.random.default_rng(seed).permutation(len(grade))
    round_of = pd.Series(grade[order]).groupby(grade[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(round_of, kind="stable")[:n]])


def tsne(points: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) t-SNE (van der Maaten, Hinton 2008) of points (n, channels). To be reproducible it starts from their PCA and runs on
    one thread, because several threads sum in random order.

    The units have no meaning; the perplexity is 30, or less for few points.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(points) - 1) / 3)
    with threadpool_limits(1):
        return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)


def joint_rows(joints: pd.Series) -> np.ndarray:
    """The row of joints of each joint: pip, mcp, wrist, mtp. Only crops of one row are compared."""
    row = joints.str.split("_").str[0]
    return row.replace(SIMILAR_ROW).to_numpy()


def neighbours_target(points: np.ndarray, target: np.ndarray, person: np.ndarray, k: int) -> np.ndarray:
    """(n,) mean target of each point's k nearest neighbours of other persons; NaN if there are fewer than k."""
    from sklearn.neighbors import NearestNeighbors

    code, count = pd.factorize(person)[0], pd.Series(person).value_counts().max()
    n_wanted = min(len(points), k + int(count))  # enough even if the nearest are all of the same person
    near = NearestNeighbors(n_neighbors=n_wanted).fit(points).kneighbors(points, return_distance=False)
    other = code[near] != code[:, None]
    first = other & (np.cumsum(other, axis=1) <= k)
    mean = (target[near] * first).sum(axis=1) / np.maximum(first.sum(axis=1), 1)
    return np.where(first.sum(axis=1) == k, mean, np.nan)


def with_neighbours(rows: pd.DataFrame, points: np.ndarray, k: int) -> pd.DataFrame:
    """Add `neighbours` to rows (joint, person_id, finding, target, max_score): the mean target of the k nearest points of other
    persons with the same finding, row of joints and scale. points (n, channels): one per row."""
    near = np.full(len(rows), np.nan)
    groups = rows.reset_index(drop=True).groupby([joint_rows(rows.joint), rows.finding.to_numpy(), rows.max_score.to_numpy()])
    for _, group in groups:
        scored = group.index[group.target.notna()].to_numpy()
        if len(scored) > k:
            targets, persons = group.target[scored].to_numpy(), group.person_id[scored].to_numpy()
            near[scored] = neighbours_target(points[scored], targets, persons, k)
    return rows.assign(neighbours=near)


def outliers(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n rows of each finding whose target differs most from the mean of their neighbours, as a share of the scale."""
    gaps = rows.assign(gap=(rows.target - rows.neighbours) / rows.max_score).dropna(subset="gap")
    gaps = gaps.reindex(gaps.gap.abs().sort_values(ascending=False, kind="stable").index)
    return gaps.groupby("finding", sort=True).head(n).sort_values("finding", kind="stable").reset_index(drop=True)


def embed(held_out: HeldOutNetworks, n_points: int, k: int, n_outliers: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(embeddings, outliers) of a member.

    embeddings: x, y, fold, PLACE, and target and pred of each finding, of the fold with most pictures. outliers: of all folds,
    n_outliers per finding, each compared with its k nearest neighbours.
    """
    compared, largest = [], None
    for fold in sorted(held_out.fold_of.unique()):
        pictures = held_out.unseen(fold)
        network_features = features(held_out.network(fold, pictures), held_out, pictures)
        rows = held_out.rows[held_out.rows.fold == fold]
        positions = pd.Series(np.arange(len(pictures)), pictures).reindex(held_out.picture_of(rows)).to_numpy()
        rows, positions = rows[~np.isnan(positions)], positions[~np.isnan(positions)].astype(int)
        compared.append(with_neighbours(rows, network_features[positions], k))
        if largest is None or len(pictures) > len(largest[1]):
            largest = fold, pictures, network_features
    return _map(held_out, *largest, n_points, seed), outliers(pd.concat(compared, ignore_index=True), n_outliers)


def _map(
    held_out: HeldOutNetworks, fold: int, pictures: np.ndarray, network_features: np.ndarray, n_points: int, seed: int
) -> pd.DataFrame:
    """The t-SNE map of a fold's pictures with a scored finding, at most n_points of them; empty for fewer than five."""
    wide = held_out.rows[held_out.rows.fold == fold].pivot_table(["target", "pred"], PLACE, "finding", dropna=False)
    index = held_out.pictures.index[PLACE].iloc[pictures]
    grades = wide.reindex(pd.MultiIndex.from_frame(index))
    grades.columns = [finding if column == "target" else f"{finding}_pred" for column, finding in grades.columns]
    table = pd.concat([index.reset_index(drop=True), grades.reset_index(drop=True)], axis=1).assign(fold=fold)
    worst = table[[f for f in FINDINGS if f in table]].max(axis=1)
    scored = np.flatnonzero(worst.notna())
    if len(scored) < 5:
        return table.iloc[:0].assign(x=np.nan, y=np.nan)
    chosen = scored[balanced_subset(worst.to_numpy()[scored].clip(0, N_GRADES), n_points, seed)]
    x, y = tsne(network_features[chosen], seed).T
    return table.iloc[chosen].assign(x=x, y=y).reset_index(drop=True)
