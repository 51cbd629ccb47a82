"""U-Net on a timm encoder with coordinate channels and three per-pixel heads (Maziarz, Krason, Wojna 2021, section 3).

A field holds one vector of logits per pixel; `pool` turns the fields into joint centres and grades. Not stated in the paper, so
our choice: the decoder's widths, nearest-neighbour upsampling followed by two 3x3 convolutions, and fields that may be coarser
than the picture (`stride`), which makes training on a CPU possible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ra.anatomy import ALL_JOINTS, FINDINGS, LIMBS
from ra.config import UserError
from stage2_score.networks.joint_masks import N_TYPES, grid, possible_classes

CLASSES = {"joint": N_TYPES + 1, "narrowing": 5, "erosion": 6}  # classes per pixel; a foot's erosion is halved
GREY_MEAN, GREY_SD = 0.449, 0.226  # ImageNet's, so that the hub's weights see the range that they were trained on


def coordinates(like: Tensor) -> Tensor:
    """(N, 2, H, W) x and y of each pixel, -1..1 over the picture (CoordConv, Liu et al. 2018)."""
    n, _, h, w = like.shape
    x = torch.linspace(-1, 1, w, device=like.device).expand(n, 1, h, w)
    y = torch.linspace(-1, 1, h, device=like.device)[:, None].expand(n, 1, h, w)
    return torch.cat([x, y], 1)


def widen_input(network: nn.Module, extra: int) -> None:
    """Add `extra` input channels with weight 0 to the first convolution, so that its output stays the same."""
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    new = first.weight.new_zeros(first.out_channels, extra, *first.kernel_size)
    first.weight = nn.Parameter(torch.cat([first.weight.detach(), new], 1))
    first.in_channels += extra


class Up(nn.Module):
    """Upsampling by two, concatenation with the encoder's features of that size, two 3x3 convolutions."""

    def __init__(self, n_in: int, n_skip: int, n_out: int):
        super().__init__()
        rows = []
        for n in (n_in + n_skip, n_out):
            rows += [nn.Conv2d(n, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*rows)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        if skip is None:
            return self.convolutions(interpolate(x, scale_factor=2.0))
        return self.convolutions(torch.cat([interpolate(x, size=skip.shape[-2:]), skip], 1))


class UNet(nn.Module):
    """uint8 pictures (N, 1, H, W) -> in training the logits per pixel, in evaluation their summary for each joint (pool).

    Logits: joint (N, 23, h, w), narrowing (N, 5, h, w), erosion (N, 6, h, w), with h = H / stride.
    backbone: a timm model with features_only on one grey channel; widths: channels of the decoder's levels, deepest first, each
    level twice as large as the one before. The last may be larger than all of the backbone's maps: as large as the picture.
    """

    def __init__(self, backbone: nn.Module, widths: list[int], dropout: float = 0.0):
        super().__init__()
        channels, reductions = backbone.feature_info.channels(), backbone.feature_info.reduction()
        skips, strides = [*channels[-2::-1], 0], [*reductions[-2::-1], reductions[0] // 2]
        if not 0 < len(widths) <= len(skips):
            raise UserError(f"head.params.widths has {len(widths)} levels; this backbone allows 1 to {len(skips)}")
        widen_input(backbone, 2)
        self.backbone = backbone
        levels = zip([channels[-1], *widths[:-1]], skips, widths, strict=False)
        self.decoder = nn.ModuleList(Up(*level) for level in levels)
        self.dropout = nn.Dropout2d(dropout)
        self.heads = nn.ModuleDict({name: nn.Conv2d(widths[-1], n, 1) for name, n in CLASSES.items()})
        self.stride = strides[len(widths) - 1]
        self.register_buffer("possible", torch.stack([possible_classes(limb) for limb in LIMBS]), persistent=False)

    def usable_weights(self, saved: dict[str, Tensor]) -> dict[str, Tensor]:
        """The encoder's part of a crop network's weights; the coordinate channels of the first convolution get weight 0."""
        current = self.state_dict()
        first = next(name for name, module in self.named_modules() if isinstance(module, nn.Conv2d)) + ".weight"
        usable = {name: value for name, value in saved.items() if name in current}
        if first in usable:
            n_missing = current[first].shape[1] - usable[first].shape[1]
            usable[first] = nn.functional.pad(usable[first], (0, 0, 0, 0, 0, n_missing))
        return usable

    def logits(self, picture: Tensor) -> dict[str, Tensor]:
        """The three fields of logits of pictures."""
        grey = (picture.float() / 255 - GREY_MEAN) / GREY_SD
        features = self.backbone(torch.cat([grey, coordinates(grey)], 1).contiguous(memory_format=torch.channels_last))
        x = features[-1]
        for up, skip in zip(self.decoder, [*features[-2::-1], None], strict=False):
            x = up(x, skip)
        x = self.dropout(x)
        return {name: head(x).float() for name, head in self.heads.items()}

    def forward(self, picture: Tensor, kind: Tensor, extra: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """kind (N,): the limb that is shown, numbered as in network.SHOWN: the joints, then the limbs."""
        fields = self.logits(picture)
        return fields if self.training else pool(fields, self.possible[kind - len(ALL_JOINTS)], self.stride)


def pool(fields: dict[str, Tensor], possible: Tensor, stride: int) -> dict[str, Tensor]:
    """Per joint type: erosion (N, 22, 6) and narrowing (N, 22, 5) distributions, centre (N, 22, 2) px, conf (N, 22).

    fields: logits as in loss.field_loss; possible: (N, 23) bool, the classes that each film can show. A joint's pixels are those
    where its class is the likeliest; grades are the mean softmax over them, the centre their centroid weighted by the class's
    probability, conf its mean probability. For a joint without pixels, the grades of all pixels are averaged, weighted by the
    joint's probability there, and centre and conf are NaN.
    """
    log_p = fields["joint"].masked_fill(~possible[:, :, None, None], -torch.inf).log_softmax(1)
    p = log_p.exp()
    x, y = grid(*p.shape[-2:], stride, p.device)
    position = torch.stack([x.expand(p.shape[-2:]), y.expand(p.shape[-2:])], -1).reshape(-1, 2)  # (pixels, 2)
    likeliest = p.argmax(1, keepdim=True)
    is_joint = (likeliest == torch.arange(N_TYPES, device=p.device)[:, None, None]).flatten(2)  # (N, 22, pixels)
    p_joint = p[:, :N_TYPES].flatten(2) * is_joint
    has_pixels = is_joint.any(2)
    conf = p_joint.sum(2) / is_joint.sum(2)
    centre = p_joint @ position / p_joint.sum(2, keepdim=True)
    soft = log_p[:, :N_TYPES].flatten(2).softmax(2).nan_to_num(0.0)  # from logs: p itself may be too small to be divided
    weight = torch.where(has_pixels[..., None], is_joint / is_joint.sum(2, keepdim=True).clamp_min(1), soft)
    grades = {f: weight @ fields[f].softmax(1).flatten(2).transpose(1, 2) for f in FINDINGS}
    return {**grades, "centre": centre.where(has_pixels[..., None], torch.nan), "conf": conf.where(has_pixels, torch.nan)}
