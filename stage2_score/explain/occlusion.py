"""Occlusion maps: how a score changes when a region of the picture is covered (Zeiler and Fergus, ECCV 2014)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stage2_score.explain.gradcam import Score

GREY = 128  # of the covering square: the middle of the pictures' grey range


def corners(px: int, side_px: int, step_px: int) -> np.ndarray:
    """First pixels of the squares along one axis, from edge to edge, so that every pixel is covered."""
    last = px - side_px
    return np.unique(np.append(np.arange(0, last + 1, step_px), last))


def occlusion(network: nn.Module, batch: dict[str, Tensor], score: Score, *, side_px: int, step_px: int) -> tuple[Tensor, float]:
    """((H, W) decrease of the score when a pixel is covered, the score of the plain picture).

    batch: one picture (1, 1, H, W), its kind and, if the network uses it, extra; all covered pictures go through the network
    as one batch. A pixel's value is the mean over the squares that cover it; below 0 where the cover raises the score.
    """
    picture = batch["picture"]
    height, width = picture.shape[-2:]
    ys, xs = (corners(n, side_px, step_px) for n in (height, width))
    covered, masks = picture.repeat(1 + len(ys) * len(xs), 1, 1, 1), torch.zeros(len(ys) * len(xs), height, width)
    for k, (y, x) in enumerate((y, x) for y in ys for x in xs):
        covered[1 + k, :, y : y + side_px, x : x + side_px] = GREY
        masks[k, y : y + side_px, x : x + side_px] = 1
    others = [batch[name].expand(len(covered), *batch[name].shape[1:]) if name in batch else None for name in ("kind", "extra")]
    with torch.no_grad():
        value = score(network(covered, *others)).float().cpu()
    fall = value[0] - value[1:]
    return (masks * fall[:, None, None]).sum(0) / masks.sum(0), float(value[0])
