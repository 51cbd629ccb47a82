"""U-Net on a timm encoder with coordinate channels and three per-pixel heads (Maziarz, Krason, Wojna 2020, section 3).

Ours where the paper is silent: the decoder's widths, nearest-neighbour upsampling followed by two 3x3 convolutions, and
fields that may stay coarser than the picture (`stride`), which a CPU needs.
"""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from stage2_score.masks import N_TYPES

HEADS = {"joint": N_TYPES + 1, "narrowing": 5, "erosion": 6}  # classes per pixel; a foot's erosion is halved
GREY_MEAN, GREY_SD = 0.449, 0.226  # ImageNet's, so that hub weights see what they know


def coordinates(like: Tensor) -> Tensor:
    """(N, 2, H, W) x and y of each pixel, -1..1 over the picture (CoordConv, Liu et al. 2018)."""
    n, _, h, w = like.shape
    x = torch.linspace(-1, 1, w, device=like.device).expand(n, 1, h, w)
    y = torch.linspace(-1, 1, h, device=like.device)[:, None].expand(n, 1, h, w)
    return torch.cat([x, y], 1)


def widen_input(network: nn.Module, extra: int) -> None:
    """Give the first convolution `extra` more input channels with weight 0: what it knows about greys stays as it is."""
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    new = first.weight.new_zeros(first.out_channels, extra, *first.kernel_size)
    first.weight = nn.Parameter(torch.cat([first.weight.detach(), new], 1))
    first.in_channels += extra


class Up(nn.Module):
    """Twice as large, the skip beside it, two 3x3 convolutions."""

    def __init__(self, inside: int, skip: int, outside: int):
        super().__init__()
        rows = []
        for n in (inside + skip, outside):
            rows += [nn.Conv2d(n, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*rows)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        if skip is None:
            return self.convolutions(interpolate(x, scale_factor=2.0))
        return self.convolutions(torch.cat([interpolate(x, size=skip.shape[-2:]), skip], 1))


class UNet(nn.Module):
    """uint8 pictures (N, 1, H, W) -> logits per pixel: joint (N, 23, h, w), narrowing (N, 5, h, w), erosion (N, 6, h, w).

    encoder: a timm model with features_only on one grey channel; widths: of the decoder's levels, deepest first, one per
    level; h = H / stride, where stride is the encoder's first reduction divided by 2 per level beyond its skips.
    """

    def __init__(self, encoder: nn.Module, widths: tuple[int, ...], dropout: float = 0.0):
        super().__init__()
        channels, reductions = encoder.feature_info.channels(), encoder.feature_info.reduction()
        widen_input(encoder, 2)
        self.encoder = encoder
        skips = [*channels[-2::-1], 0][: len(widths)]
        inside = [channels[-1], *widths[:-1]]
        self.decoder = nn.ModuleList(Up(*sizes) for sizes in zip(inside, skips, widths, strict=True))
        self.dropout = nn.Dropout2d(dropout)
        self.heads = nn.ModuleDict({name: nn.Conv2d(widths[-1], n, 1) for name, n in HEADS.items()})
        self.stride = [*reductions[-2::-1], reductions[0] // 2][len(widths) - 1]

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        grey = (picture.float() / 255 - GREY_MEAN) / GREY_SD
        x = torch.cat([grey, coordinates(grey)], 1).contiguous(memory_format=torch.channels_last)
        features = self.encoder(x)
        x, skips = features[-1], [*features[-2::-1], None]
        for up, skip in zip(self.decoder, skips, strict=False):
            x = up(x, skip)
        x = self.dropout(x)
        return {name: head(x).float() for name, head in self.heads.items()}


def make_encoder(name: str, params: dict, pretrained: bool = False) -> nn.Module:
    return timm.create_model(name, pretrained=pretrained, in_chans=1, features_only=True, **params)
