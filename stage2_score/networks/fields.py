"""How per-pixel fields become joint centres and grades (Maziarz, Krason, Wojna 2020, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ra.anatomy import FINDINGS
from stage2_score.networks.joint_masks import N_TYPES, grid


def pool(out: dict[str, Tensor], shown: Tensor, stride: int) -> dict[str, Tensor]:
    """Per joint type: erosion (N, 22, 6) and narrowing (N, 22, 5) distributions, centre (N, 22, 2) px, conf (N, 22).

    out: logits as in loss.field_loss; shown: (N, 23) bool, the classes that each film can show. A joint's pixels are those where
    its class is the likeliest; grades are the mean softmax over them, the centre their centroid weighted by the class's
    probability, conf its mean probability. A joint without pixels takes its probabilities over the whole film as soft
    weights, and its centre and conf are NaN.
    """
    log_p = out["joint"].masked_fill(~shown[:, :, None, None], -torch.inf).log_softmax(1)
    p = log_p.exp()
    x, y = grid(*p.shape[-2:], stride, p.device)
    place = torch.stack([x.expand(p.shape[-2:]), y.expand(p.shape[-2:])], -1).reshape(-1, 2)  # (pixels, 2)
    own = (p.argmax(1, keepdim=True) == torch.arange(N_TYPES, device=p.device)[:, None, None]).flatten(2)
    p = p[:, :N_TYPES].flatten(2)  # (N, 22, pixels)
    found, inside = own.any(2), p * own
    conf = inside.sum(2) / own.sum(2)
    centre = inside @ place / inside.sum(2, keepdim=True)
    soft = log_p[:, :N_TYPES].flatten(2).softmax(2).nan_to_num(0.0)  # in logs: p itself may be too small to be divided
    weight = torch.where(found[..., None], own / own.sum(2, keepdim=True).clamp_min(1), soft)
    grades = {f: weight @ out[f].softmax(1).flatten(2).transpose(1, 2) for f in FINDINGS}
    return {**grades, "centre": centre.where(found[..., None], torch.nan), "conf": conf.where(found, torch.nan)}
