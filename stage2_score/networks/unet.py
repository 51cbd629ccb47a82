"""U-Net on a timm encoder with coordinate channels and three per-pixel heads (Maziarz, Krason, Wojna 2020, section 3).

Ours where the paper is silent: the decoder's widths, nearest-neighbour upsampling followed by two 3x3 convolutions, and
fields that may stay coarser than the picture (`stride`), which a CPU needs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ra.anatomy import ALL_JOINTS, LIMBS
from ra.config import UserError
from stage2_score.networks.fields import pool
from stage2_score.networks.joint_masks import N_TYPES, open_types

CLASSES = {"joint": N_TYPES + 1, "narrowing": 5, "erosion": 6}  # classes per pixel; a foot's erosion is halved
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
    """uint8 pictures (N, 1, H, W) -> in training logits per pixel, else what they mean for each joint (fields.pool).

    Logits: joint (N, 23, h, w), narrowing (N, 5, h, w), erosion (N, 6, h, w), with h = H / stride.
    backbone: a timm model with features_only on one grey channel; widths: of the decoder's levels, deepest first, each
    twice as large as the one before. The last may go beyond the backbone's skips, to the picture's own size.
    """

    def __init__(self, backbone: nn.Module, widths: list[int], dropout: float = 0.0):
        super().__init__()
        channels, reductions = backbone.feature_info.channels(), backbone.feature_info.reduction()
        skips, strides = [*channels[-2::-1], 0], [*reductions[-2::-1], reductions[0] // 2]
        if not 0 < len(widths) <= len(skips):
            raise UserError(f"head.params.widths has {len(widths)} levels; this backbone allows 1 to {len(skips)}")
        widen_input(backbone, 2)
        self.backbone = backbone
        sizes = zip([channels[-1], *widths[:-1]], skips, widths, strict=False)
        self.decoder = nn.ModuleList(Up(*of_level) for of_level in sizes)
        self.dropout = nn.Dropout2d(dropout)
        self.heads = nn.ModuleDict({name: nn.Conv2d(widths[-1], n, 1) for name, n in CLASSES.items()})
        self.stride = strides[len(widths) - 1]
        self.register_buffer("shown", torch.stack([open_types(limb) for limb in LIMBS]), persistent=False)

    def own_part(self, saved: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of a crop's network the encoder: its first convolution knows no coordinates, its last layers are not used here."""
        own, first = self.state_dict(), next(n for n, m in self.named_modules() if isinstance(m, nn.Conv2d)) + ".weight"
        taken = {k: v for k, v in saved.items() if k in own}
        if first in taken:
            lacking = own[first].shape[1] - taken[first].shape[1]
            taken[first] = nn.functional.pad(taken[first], (0, 0, 0, 0, 0, lacking))
        return taken

    def logits(self, picture: Tensor) -> dict[str, Tensor]:
        """The three fields of pictures."""
        grey = (picture.float() / 255 - GREY_MEAN) / GREY_SD
        features = self.backbone(torch.cat([grey, coordinates(grey)], 1).contiguous(memory_format=torch.channels_last))
        x = features[-1]
        for up, skip in zip(self.decoder, [*features[-2::-1], None], strict=False):
            x = up(x, skip)
        x = self.dropout(x)
        return {name: head(x).float() for name, head in self.heads.items()}

    def forward(self, picture: Tensor, kind: Tensor, extra: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """kind (N,): what is shown, numbered as in model.SHOWN: the joints, then the limbs."""
        fields = self.logits(picture)
        return fields if self.training else pool(fields, self.shown[kind - len(ALL_JOINTS)], self.stride)
