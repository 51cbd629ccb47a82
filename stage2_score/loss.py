"""Losses. NaN targets are ignored: they have neither cost nor gradient.

Local label smoothing (Maziarz, Krason, Wojna 2021, RA2-DREAM): probability mass moves only to the neighbouring grades.
Log-space term: the challenge measures (log2(grade + 1) - log2(pred + 1))^2, which 2^E[log2(grade + 1)] - 1 minimises.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from ra.anatomy import FINDINGS
from stage2_score.networks.joint_masks import BACKGROUND, IGNORED, INNER, OUTER, joint_masks

FAR_BELOW = -1e4  # a masked logit: exp() of it is exactly 0, and it stays finite under bfloat16


def log_grades(n: int, device: torch.device | str = "cpu") -> Tensor:
    """log2(k + 1) of the grades k = 0..n-1."""
    return torch.log2(torch.arange(n, device=device, dtype=torch.float32) + 1)


def smooth_targets(grade: Tensor, maximum: Tensor, n: int, smoothing: float) -> Tensor:
    """(N, n) target distributions of grades (N,) in 0..maximum (N,): 1 - p at the grade, p/2 at each neighbour that exists.

    At either end only one neighbour exists and 1 - p/2 stays (Maziarz et al.).
    """
    k = torch.arange(n, device=grade.device)
    grade, maximum = grade.round().long()[:, None], maximum.long()[:, None]
    side = ((k - grade).abs() == 1) & (k <= maximum)
    target = side.float() * (smoothing / 2)
    return target + (k == grade).float() * (1 - target.sum(1, keepdim=True))


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over rows; 0 (with a zero gradient) when all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-8)


def grades_log(out: dict[str, Tensor], batch: dict[str, Tensor], smoothing: float = 0.1, log_space: float = 1.0) -> Tensor:
    """Cross-entropy with local label smoothing + log_space * (E[log2(k+1)] - log2(grade+1))^2, mean over scored findings.

    out: per finding (N, n) logits, masked above each site's maximum; batch: per finding (N,) targets (NaN: not scored),
    `<finding>_max` (N,) and `weight` (N,).
    """
    total, weights = 0.0, 0.0
    for finding in FINDINGS:
        logits, target = out[finding].float(), batch[finding]
        scored = ~torch.isnan(target)
        grade, weight = target.nan_to_num(0.0), batch["weight"] * scored
        log_p = logits.log_softmax(1)
        entropy = -(smooth_targets(grade, batch[f"{finding}_max"], logits.shape[1], smoothing) * log_p).sum(1)
        expected = (log_p.exp() * log_grades(logits.shape[1], logits.device)).sum(1)
        square = (expected - torch.log2(grade + 1)) ** 2
        total = total + ((entropy + log_space * square) * weight).sum()
        weights = weights + weight.sum()
    return total / weights.clamp_min(1e-8)


def totals_log(out: dict[str, Tensor], batch: dict[str, Tensor], beta: float = 0.5) -> Tensor:
    """Smooth L1 (quadratic below beta) of log2(total + 1) of each finding, mean over the known totals."""
    total, weights = 0.0, 0.0
    for finding in FINDINGS:
        target = batch[finding]
        scored = ~torch.isnan(target)
        weight = batch["weight"] * scored
        goal = torch.log2(target.nan_to_num(0.0) + 1)
        total = total + (smooth_l1_loss(out[finding].float(), goal, beta=beta, reduction="none") * weight).sum()
        weights = weights + weight.sum()
    return total / weights.clamp_min(1e-8)


def total_mse(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the standardised total (Bo et al. 2024, section 2.3)."""
    error, is_known = _standardised(out, batch)
    return weighted_mean(error**2, batch["weight"] * is_known)


def total_smooth(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """sqrt(mean smooth(error)) of the standardised total; smooth(x) = 0.6 x^2 below 1, |x| above (Bo et al. 2024, eq. 1-2)."""
    error, is_known = _standardised(out, batch)
    smooth = torch.where(error.abs() < 1, 0.6 * error**2, error.abs())
    return (weighted_mean(smooth, batch["weight"] * is_known) + 1e-12).sqrt()  # the root's slope at 0 is infinite


def _standardised(out: dict[str, Tensor], batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Error of the standardised total (N,), and where the total is known (N,)."""
    is_known = ~torch.isnan(batch["total"])
    return out["z"] - (batch["total"].nan_to_num(0.0) - out["mean"]) / out["sd"], is_known


def cross_entropy(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """-(1/N) sum_i w_i log p(class_i) over the N scored pictures (Rohrbach et al. 2019, section 3.3.2)."""
    is_known = ~torch.isnan(batch["class"])
    goal = batch["class"].nan_to_num(0.0).round().long()[:, None]
    entropy = -out["classes"].float().log_softmax(1).gather(1, goal)[:, 0]
    return (entropy * batch["weight"] * is_known).sum() / is_known.sum().clamp_min(1)


def crps(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Discrete continuous ranked probability score: (1 / (101 N)) sum_n w_n sum_k (F_k - [k >= percent_n])^2.

    Thesis: J. Rohrbach, section 4.4.

    out: cdf (N, 101) within 0..1; batch: percent (N,), NaN where not scored, and weight (N,).
    """
    is_known = ~torch.isnan(batch["percent"])
    k = torch.arange(out["cdf"].shape[1], device=out["cdf"].device)
    step = (k >= batch["percent"].nan_to_num(0.0)[:, None]).to(out["cdf"].dtype)
    square = ((out["cdf"] - step) ** 2).mean(1)
    return (square * batch["weight"] * is_known).sum() / is_known.sum().clamp_min(1)


def percent_mse(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the percentage / 100."""
    is_known = ~torch.isnan(batch["percent"])
    square = ((out["percent"] - batch["percent"].nan_to_num(0.0)) / 100) ** 2
    return (square * batch["weight"] * is_known).sum() / is_known.sum().clamp_min(1)


def age_mse(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the standardised bone age (Bo et al. 2024, section 2.4)."""
    return weighted_mean((out["age"].float() - batch["age"]) ** 2, batch["weight"])


def cumulative(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Binary cross-entropy of `grade > k`, summed over the thresholds k below the site's maximum; mean over scored findings.

    out: `<finding>_above` (N, n - 1) logits; batch: per finding (N,) targets (NaN is ignored), `<finding>_max` and `weight`.
    """
    total, weights = 0.0, 0.0
    for name, logits in out.items():
        finding, _, suffix = name.partition("_")
        if suffix != "above":
            continue
        target = batch[finding]
        weight = batch["weight"] * ~torch.isnan(target)
        k = torch.arange(logits.shape[1], device=logits.device)
        goal = (target.nan_to_num(0.0)[:, None] > k).to(logits.dtype)
        cost = binary_cross_entropy_with_logits(logits, goal, reduction="none") * (k < batch[f"{finding}_max"][:, None])
        total = total + (cost.sum(1) * weight).sum()
        weights = weights + weight.sum()
    return total / weights.clamp_min(1e-8)


def grade_targets(grade: Tensor, n: int, smoothing: float) -> Tensor:
    """(..., n) distributions of grades (...,) in 0..n-1; NaN gives zeros.

    A half grade (an odd erosion of a foot, halved) is split evenly between its neighbours; then each whole grade moves
    `smoothing` to its neighbours (local label smoothing).
    """
    filled = grade.nan_to_num(0.0).flatten()
    maximum = torch.full_like(filled, n - 1)
    floor = smooth_targets(filled.floor(), maximum, n, smoothing)
    ceil = smooth_targets(filled.ceil(), maximum, n, smoothing)
    target = (floor + ceil) / 2
    return (target * (~grade.isnan()).flatten()[:, None]).view(*grade.shape, n)


def field_loss(
    out: dict[str, Tensor],
    batch: dict[str, Tensor],
    smoothing: float = 0.1,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    inner: float = INNER,
    outer: float = OUTER,
    positive: float = 1.0,
) -> Tensor:
    """Weighted sum of three mean cross-entropies per pixel: joint type, narrowing, erosion (weights in this order).

    out: joint (N, 23, h, w), narrowing (N, 5, h, w), erosion (N, 6, h, w) logits; batch: picture (N, 1, H, W), centres
    (N, 22, 2) px (NaN: absent), narrowing and erosion (N, 22) with a foot's erosion halved (NaN: not scored, ignored),
    weight (N,) of the films. inner, outer: r and R as shares of the picture's width. The joint's cross-entropy runs over
    all pixels outside the ring between r and R, the grades' over the pixels of scored joints. positive: weight of a joint's
    pixel relative to one of the background (ours; the paper's is 1): nine pixels in ten are background, and with few films a
    network otherwise learns little else.
    """
    height, width = out["joint"].shape[-2:]
    side = batch["picture"].shape[-1]
    mask = joint_masks(batch["centres"], (height, width), side // width, inner * side, outer * side)
    film = batch["weight"][:, None, None].expand_as(mask)
    entropy = functional.cross_entropy(out["joint"], mask, ignore_index=IGNORED, reduction="none")
    counted = film * (mask != IGNORED) * torch.where(mask == BACKGROUND, 1.0, positive)
    total = weights[0] * (entropy * counted).sum() / counted.sum().clamp_min(1e-8)
    n, y, x = torch.nonzero((mask >= 0) & (mask != BACKGROUND), as_tuple=True)
    joint, pixel_weight = mask[n, y, x], film[n, y, x]
    for name, finding_weight in zip(("narrowing", "erosion"), weights[1:], strict=True):
        target = grade_targets(batch[name], out[name].shape[1], smoothing)[n, joint]  # (pixels, grades)
        log_p = out[name][n, :, y, x].log_softmax(1)
        scored = pixel_weight * target.sum(1)
        total = total + finding_weight * -((target * log_p).sum(1) * pixel_weight).sum() / scored.sum().clamp_min(1e-8)
    return total


def age_l1(out: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Mean absolute error of the standardised bone age."""
    return weighted_mean((out["age"].float() - batch["age"]).abs(), batch["weight"])


LOSSES = {
    "grades_log": grades_log,
    "totals_log": totals_log,
    "total_mse": total_mse,
    "total_smooth": total_smooth,
    "cross_entropy": cross_entropy,
    "crps": crps,
    "percent_mse": percent_mse,
    "cumulative": cumulative,
    "fields": field_loss,
    "age_l1": age_l1,
    "age_mse": age_mse,
}
