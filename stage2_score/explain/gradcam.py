"""Grad-CAM: which regions of a picture raised a score (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ra.config import UserError
from stage2_score.networks.network import Network

Score = Callable[[dict[str, Tensor]], Tensor]  # the head's outputs -> one number per picture (N,), such as out["total"]


def gradcam(network: Network, batch: dict[str, Tensor], score: Score) -> Tensor:
    """Grad-CAM map (N, H, W) in the pictures' size, scaled to a maximum of 1 per picture; all 0 if nothing raised the score.

    batch: picture (N, 1, H, W), kind (N,) and, if the network uses it, extra. The map is computed from the backbone's last
    activation before pooling or flattening; for a transformer from the input of its last attention block, arranged on the grid
    of patches (its output may depend on the class token alone, which has no position). The network is left unchanged.
    """
    backbone, was_training = network.backbone, network.training
    owner, name = (backbone, "forward_features") if not _is_transformer(backbone) else (backbone.blocks[-1].norm1, "forward")
    if not hasattr(owner, name):
        raise UserError(f"Grad-CAM needs a backbone with forward_features; {type(backbone).__name__} has none")
    original, activations = getattr(owner, name), []

    def recording(*args: object, **options: object) -> Tensor:
        activation = original(*args, **options)
        if not activation.requires_grad:  # the weights may be frozen
            activation.requires_grad_()
        activations.append(activation)
        return activation

    network.eval()
    setattr(owner, name, recording)
    try:
        with torch.enable_grad():
            value = score(network(batch["picture"], batch["kind"], batch.get("extra")))
            (slope,) = torch.autograd.grad(value.sum(), activations[0])
    finally:
        delattr(owner, name)
        network.train(was_training)
    return heat(_on_grid(backbone, activations[0].detach()), _on_grid(backbone, slope), batch["picture"].shape[-2:])


def heat(activation: Tensor, slope: Tensor, size: tuple[int, int]) -> Tensor:
    """ReLU of the channels' sum weighted by their mean slopes, (N, C, h, w) twice -> (N, *size) within 0..1."""
    cam = (activation * slope.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    cam = interpolate(cam.float(), size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
    return cam / cam.amax((1, 2), keepdim=True).clamp_min(torch.finfo(cam.dtype).tiny)


def _is_transformer(backbone: torch.nn.Module) -> bool:
    return hasattr(backbone, "num_prefix_tokens") and hasattr(backbone, "blocks")


def _on_grid(backbone: torch.nn.Module, values: Tensor) -> Tensor:
    """Values on a grid (N, C, h, w): a convolution's map, or a transformer's tokens (N, prefix + h w, C) without the prefix."""
    if values.ndim == 4:
        return values
    height, width = backbone.patch_embed.grid_size
    return values[:, backbone.num_prefix_tokens :].transpose(1, 2).unflatten(2, (height, width))
