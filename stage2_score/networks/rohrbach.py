"""Rohrbach's networks: six convolution blocks, or the convolutions of VGG16 or Inception V3, under two dense layers.

Thesis: J. Rohrbach, section 4. Paper: Rohrbach et al., Comput Electr Eng 2019;78:472, section 3.2.
"""

from __future__ import annotations

import math

import timm
import torch
from torch import Tensor, nn

from ra.agreement import N_RATINGEN_GRADES
from ra.config import UserError

FILTERS = (32, 32, 64, 64, 128, 128)  # of the six blocks; each halves the side (150 px: 75 37 18 9 4 2)
N_STEPS = 101  # whole percents 0..100


def init_as_keras(network: nn.Module) -> None:
    """Initialise with Glorot-uniform kernels and zero biases, the defaults of Keras, in which these networks were written."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class FlatConvolutions(nn.Module):
    """Pictures (N, 1, side, side) -> the flattened last map of some convolutions (N, num_features).

    `forward_features` ends in the last activation, from which Grad-CAM is computed; the last max pooling comes after it.
    """

    def __init__(self, layers: nn.Sequential, channels: int, side_px: int, poolings: int):
        """layers: convolutions and all but the last of `poolings` 2x2 max poolings, which round down; the last is added here."""
        super().__init__()
        self.side_px, map_px = side_px, side_px // 2**poolings
        if map_px < 1:
            raise UserError(f"side_px: {side_px} vanishes in {poolings} poolings; use crops of at least {2**poolings} px")
        self.layers, self.pool = layers, nn.MaxPool2d(2)
        self.num_features = channels * map_px**2

    def forward_features(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.side_px:
            raise UserError(f"the crops are {x.shape[-1]} px wide and backbone.params.side_px is {self.side_px}; make them equal")
        return self.layers(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.forward_features(x)).flatten(1)


def blocks(side_px: int = 150, width: float = 1.0, pretrained: bool = False) -> FlatConvolutions:
    """Six blocks of two 3x3 convolutions, each with batch norm before ReLU, and a 2x2 max pooling after each block.

    The pictures arrive standardised rather than within 0..1; batch norm cancels the difference except in the padding at the edge.
    """
    if pretrained:
        raise UserError("the hub has no weights of backbone rohrbach; set weights: [scratch]")
    layers, n_in = [], 1
    filters = [max(1, round(n * width)) for n in FILTERS]
    for i, n in enumerate(filters):
        layers += [nn.MaxPool2d(2)] if i else []
        for _ in range(2):
            layers += [nn.Conv2d(n_in, n, 3, padding=1), nn.BatchNorm2d(n), nn.ReLU(inplace=True)]
            n_in = n
    network = FlatConvolutions(nn.Sequential(*layers), n_in, side_px, len(filters))
    init_as_keras(network)
    return network


def narrow(network: nn.Module, width: float) -> nn.Module:
    """Keep the first share `width` of the channels of all convolutions and batch norms, in place.

    Weights are rescaled so that the activations keep their scale.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            n_in = module.in_channels if module.in_channels == 1 else round(module.in_channels * width)
            n_out = round(module.out_channels * width)
            scale = math.sqrt(module.in_channels / n_in)
            module.weight = nn.Parameter(module.weight.detach()[:n_out, :n_in].clone() * scale)
            module.bias = None if module.bias is None else nn.Parameter(module.bias.detach()[:n_out].clone())
            module.in_channels, module.out_channels = n_in, n_out
        elif isinstance(module, nn.BatchNorm2d):
            n_out = module.num_features = round(module.num_features * width)
            for name in ("weight", "bias"):
                setattr(module, name, nn.Parameter(getattr(module, name).detach()[:n_out].clone()))
            module.running_mean, module.running_var = module.running_mean[:n_out].clone(), module.running_var[:n_out].clone()
    return network


def _timm(name: str, width: float, pretrained: bool, **params: object) -> nn.Module:
    """A timm network on one grey channel. Its first filters are summed over the colours, so that it computes the same as the
    original network on a picture with three equal channels, which is how the authors used it."""
    if pretrained and width != 1:
        raise UserError(f"the hub's weights of {name} need width 1, not {width}")
    network = timm.create_model(name, pretrained=pretrained, in_chans=1, num_classes=0, **params)
    return network if width == 1 else narrow(network, width)


def vgg16(side_px: int = 150, width: float = 1.0, pretrained: bool = False) -> FlatConvolutions:
    """VGG16's convolutions, flattened (paper, section 3.2.1)."""
    # The dense part is not used: avoid allocating its 120 million weights.
    params = {} if pretrained else {"mlp_ratio": 1 / 4096}
    network = _timm("vgg16", width, pretrained, **params)
    if not pretrained:  # timm's initialisation shrinks the signal where channels widen, and VGG16 has no batch norm to restore it
        for module in network.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    *layers, last = network.features
    if not isinstance(last, nn.MaxPool2d):
        raise TypeError("timm's VGG16 no longer ends in a pooling")
    return FlatConvolutions(nn.Sequential(*layers), round(512 * width), side_px, 5)


def inception_v3(width: float = 1.0, pretrained: bool = False) -> nn.Module:
    """Inception V3 without its output layer: its pooled features (thesis, section 4.5). Pictures of at least 75 px."""
    network = _timm("inception_v3", width, pretrained)
    network.num_features = network.head_hidden_size = round(2048 * width)
    return network


class Dense(nn.Sequential):
    """Linear + batch norm + ReLU + dropout of each width, then a linear layer of n outputs."""

    def __init__(
        self, features: int, n: int, widths: tuple[int, ...] = (512, 256), dropout: float = 0.5, last_norm: bool = False
    ):
        """last_norm: batch norm before the softmax; the paper's count of 1,072,818 parameters includes it."""
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            features = width
        layers += [nn.Linear(features, n), *([nn.BatchNorm1d(n)] if last_norm else [])]
        super().__init__(*layers)
        init_as_keras(self)


class RatingenHead(nn.Module):
    """The dense part with one of three outputs:

    classes   logits of the six Ratingen grades
    cdf       P(percentage <= k) of k = 0..100, independent sigmoids (thesis, section 4.4)
    percent   the percentage, one linear output
    """

    FORMS = {  # noqa: RUF012 - never changed
        "classes": (N_RATINGEN_GRADES, lambda x: x),
        "cdf": (N_STEPS, torch.sigmoid),
        "percent": (1, lambda x: 100 * x[:, 0]),  # so that the layer's output is within 0..1
    }

    def __init__(self, form: str, features: int, **params: object):
        super().__init__()
        self.form, (n, self.link) = form, self.FORMS[form]
        self.dense = Dense(features, n, **params)

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - all heads share one signature
        return {self.form: self.link(self.dense(features).float())}
