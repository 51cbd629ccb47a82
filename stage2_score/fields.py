"""The loss of per-pixel fields, and how fields become joint centres and grades (Maziarz, Krason, Wojna 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ra.anatomy import FINDINGS
from stage2_score.loss import smooth_targets
from stage2_score.masks import BACKGROUND, IGNORED, INNER, N_TYPES, OUTER, grid, joint_masks


def grade_targets(grade: Tensor, n: int, smoothing: float) -> Tensor:
    """(..., n) distributions of grades (...,) in 0..n-1; NaN gives zeros.

    A half grade (an odd erosion of a foot, halved) is split evenly between its neighbours; then each whole grade moves
    `smoothing` to its own neighbours (local label smoothing).
    """
    known = grade.nan_to_num(0.0).flatten()
    top = torch.full_like(known, n - 1)
    floor, ceil = (smooth_targets(edge(known), top, n, smoothing) for edge in (torch.floor, torch.ceil))
    target = (floor + ceil) / 2
    return (target * (~grade.isnan()).flatten()[:, None]).view(*grade.shape, n)


def field_loss(
    out: dict[str, Tensor],
    batch: dict[str, Tensor],
    smoothing: float = 0.1,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    inner: float = INNER,
    outer: float = OUTER,
) -> Tensor:
    """Weighted sum of three mean cross-entropies per pixel: joint type, narrowing, erosion (weights in this order).

    out: joint (N, 23, h, w), narrowing (N, 5, h, w), erosion (N, 6, h, w) logits; batch: picture (N, 1, H, W), centres
    (N, 22, 2) px (NaN: absent), narrowing and erosion (N, 22) with a foot's erosion halved (NaN: not scored, costs nothing),
    weight (N,) of the films. inner, outer: r and R as shares of the picture's width. The joint's cross-entropy runs over
    all pixels outside the ring between r and R, the grades' over the pixels of scored joints.
    """
    height, width = out["joint"].shape[-2:]
    side = batch["picture"].shape[-1]
    mask = joint_masks(batch["centres"], (height, width), side // width, inner * side, outer * side)
    film = batch["weight"][:, None, None].expand_as(mask)
    entropy = cross_entropy(out["joint"], mask, ignore_index=IGNORED, reduction="none")
    counted = film * (mask != IGNORED)
    total = weights[0] * (entropy * counted).sum() / counted.sum().clamp_min(1e-8)
    n, y, x = torch.nonzero((mask >= 0) & (mask != BACKGROUND), as_tuple=True)
    joint, pixel_weight = mask[n, y, x], film[n, y, x]
    for name, of_finding in zip(("narrowing", "erosion"), weights[1:], strict=True):
        target = grade_targets(batch[name], out[name].shape[1], smoothing)[n, joint]  # (pixels, grades)
        log_p = out[name][n, :, y, x].log_softmax(1)
        scored = pixel_weight * target.sum(1)
        total = total + of_finding * -((target * log_p).sum(1) * pixel_weight).sum() / scored.sum().clamp_min(1e-8)
    return total


def pool(out: dict[str, Tensor], shown: Tensor, stride: int) -> dict[str, Tensor]:
    """Per joint type: erosion (N, 22, 6) and narrowing (N, 22, 5) distributions, centre (N, 22, 2) px, conf (N, 22).

    out: logits as in field_loss; shown: (N, 23) bool, the classes that each film can show. A joint's pixels are those where
    its class is the likeliest; grades are the mean softmax over them, the centre their centroid weighted by the class's
    probability, conf its mean probability. A joint without pixels takes its probabilities over the whole film as soft
    weights, and its centre and conf are NaN.
    """
    p = out["joint"].masked_fill(~shown[:, :, None, None], -torch.inf).softmax(1)
    x, y = grid(*p.shape[-2:], stride, p.device)
    place = torch.stack([x.expand(p.shape[-2:]), y.expand(p.shape[-2:])], -1).reshape(-1, 2)  # (pixels, 2)
    own = (p.argmax(1, keepdim=True) == torch.arange(N_TYPES, device=p.device)[:, None, None]).flatten(2)
    p = p[:, :N_TYPES].flatten(2)  # (N, 22, pixels)
    found, inside = own.any(2), p * own
    conf = inside.sum(2) / own.sum(2)
    centre = inside @ place / inside.sum(2, keepdim=True)
    weight = torch.where(found[..., None], own.to(p.dtype), p)
    weight = weight / weight.sum(2, keepdim=True).clamp_min(1e-12)
    grades = {f: weight @ out[f].softmax(1).flatten(2).transpose(1, 2) for f in FINDINGS}
    return {**grades, "centre": centre.where(found[..., None], torch.nan), "conf": conf.where(found, torch.nan)}
