"""The network of this stage: a timm backbone, an embedding of the joint or part that is shown, and a head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ra import atomic, paths
from ra.anatomy import ALL_JOINTS, EROSION_HAND, FINDINGS, HAND_JOINTS, LIMBS, MAX_GRADE, N_GRADES, NARROWING_HAND
from ra.config import UserError
from stage2_score.config import Member, Named, Pretrain
from stage2_score.loss import FAR_BELOW
from stage2_score.networks import rohrbach
from stage2_score.networks.ordinal import Ordinal
from stage2_score.networks.unet import GREY_MEAN, GREY_SD, UNet

SHOWN = (*ALL_JOINTS, *LIMBS, "wrist")  # what a picture can show: a joint, a whole hand or foot, the wrist as one joint
N_KINDS = len(SHOWN)
WIDTHS = {"erosion": N_GRADES, "narrowing": 5}


def kind_of(shown: str) -> int:
    """The embedding's row for what a picture shows: a joint's name, 'hand' or 'foot' for a whole part, or 'wrist'."""
    return SHOWN.index(shown)


def max_grade(joint: str, finding: str) -> int:
    """Largest grade of a joint's finding; -1 when the joint is not scored for it (all its logits are masked then)."""
    if joint not in HAND_JOINTS:
        return MAX_GRADE["foot", finding]
    scored = EROSION_HAND if finding == "erosion" else NARROWING_HAND
    return MAX_GRADE["hand", finding] if joint in scored else -1


def max_grades(finding: str) -> Tensor:
    """(N_KINDS,) largest grade of each entry of SHOWN; -1 where it is not scored."""
    return torch.tensor([max_grade(shown, finding) if shown in ALL_JOINTS else -1 for shown in SHOWN])


class Grades(nn.Module):
    """Logits of erosion (11) and of narrowing (5), masked above the maximum grade of the joint that is shown.

    Each joint has a bias, which `set_prior` starts at the log frequencies of the training folds: before the first step the
    network equals the site-mean model, and training adds what the picture shows. An unscored finding's logits are all masked
    equally, which gives a uniform distribution that neither a loss nor a Scores table uses.
    """

    def __init__(self, features: int, hidden: int = 128, dropout: float = 0.2):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.ModuleDict({f: nn.Linear(hidden, n) for f, n in WIDTHS.items()})
        self.prior = nn.ParameterDict({f: nn.Parameter(torch.zeros(N_KINDS, n)) for f, n in WIDTHS.items()})
        for finding, n in WIDTHS.items():
            nn.init.normal_(self.out[finding].weight, std=0.01)
            nn.init.zeros_(self.out[finding].bias)
            self.register_buffer(f"masked_{finding}", torch.arange(n) > max_grades(finding)[:, None], persistent=False)

    def set_prior(self, counts: dict[str, Tensor]) -> None:
        """Start the biases at log((count + pseudo-count) / n); counts: finding -> (N_KINDS, n grades)."""
        with torch.no_grad():
            for finding, count in counts.items():
                pooled = count.sum(0, keepdim=True) / count.sum().clamp_min(1)
                self.prior[finding].copy_((count + 5 * pooled + 0.1).log())
                self.prior[finding].sub_(self.prior[finding].logsumexp(1, keepdim=True))

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:
        hidden = self.trunk(features)
        logits = {f: self.out[f](hidden) + self.prior[f][kind] for f in FINDINGS}
        return {f: logits[f].float().masked_fill(getattr(self, f"masked_{f}")[kind], FAR_BELOW) for f in FINDINGS}


class Scalars(nn.Module):
    """One number per name, through a hidden layer."""

    def __init__(self, features: int, names: tuple[str, ...], hidden: int = 64, dropout: float = 0.2):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.ModuleDict({name: nn.Linear(hidden, 1) for name in names})

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - all heads share one signature
        hidden = self.trunk(features)
        return {name: layer(hidden)[:, 0].float() for name, layer in self.out.items()}


class Total(nn.Module):
    """One linear output: the standardised total, returned also on the scale of the totals (Bo et al. 2024, section 2.2)."""

    def __init__(self, features: int, dropout: float = 0.0):
        super().__init__()
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, 1))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("sd", torch.ones(()))

    def set_scale(self, mean: float, sd: float) -> None:
        """Store the mean and standard deviation of the training totals."""
        self.mean.fill_(mean)
        self.sd.fill_(sd)

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - all heads share one signature
        z = self.out(features)[:, 0].float()
        return {"z": z, "total": z * self.sd + self.mean, "mean": self.mean.expand_as(z), "sd": self.sd.expand_as(z)}


class Classes(nn.Module):
    """Logits of ordered classes, one linear layer."""

    def __init__(self, features: int, n: int, dropout: float = 0.0):
        super().__init__()
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, n))

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - all heads share one signature
        return {"classes": self.out(features).float()}


HEADS: dict[str, Callable[..., nn.Module]] = {
    "grades": Grades,
    "totals": lambda features, **params: Scalars(features, FINDINGS, **params),
    "age": lambda features, **params: Scalars(features, ("age",), **params),
    "total": Total,
    "severity": lambda features, bounds, **params: Classes(features, len(bounds) + 1, **params),
    "ordinal": lambda features, **params: Ordinal(features, {f: max_grades(f) for f in FINDINGS}, **params),
    **{f"ratingen_{form}": partial(rohrbach.RatingenHead, form) for form in rohrbach.RatingenHead.FORMS},
}
BACKBONES: dict[str, Callable[..., nn.Module]] = {  # backbones that timm does not have, or has in another form
    "rohrbach": rohrbach.blocks,
    "rohrbach_vgg16": rohrbach.vgg16,
    "rohrbach_inception": rohrbach.inception_v3,
}


class Network(nn.Module):
    """uint8 pictures (N, 1, H, W), kind (N,) and extra (N, 1) -> the head's dict of outputs."""

    def __init__(self, backbone: nn.Module, head: Named, embedding: int, dropout: float, extra: int = 0):
        super().__init__()
        self.backbone = backbone
        self.embedding = nn.Embedding(N_KINDS, embedding) if embedding else None
        features = backbone.num_features if not hasattr(backbone, "head_hidden_size") else backbone.head_hidden_size
        if head.name not in HEADS:
            raise UserError(f"head {head.name!r} is unknown; one of {', '.join(HEADS)}")
        self.head = HEADS[head.name](features + embedding + extra, **{"dropout": dropout, **head.params})

    def usable_weights(self, saved: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those saved weights that this network can load: all of them (a U-Net loads only the encoder's)."""
        return saved

    def forward(self, picture: Tensor, kind: Tensor, extra: Tensor | None = None) -> dict[str, Tensor]:
        x = (picture.float() / 255 - GREY_MEAN) / GREY_SD
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.backbone(x)
        inputs = [features]
        if self.embedding is not None:
            inputs.append(self.embedding(kind))
        if extra is not None:
            inputs.append(extra)
        if len(inputs) > 1:
            features = torch.cat([values.float() for values in inputs], 1)
        return self.head(features, kind)


def make_network(config: Member | Pretrain, head: Named, extra: int = 0, pretrained: bool = False) -> nn.Module:
    """The network that a config describes: a backbone with a head, or the U-Net if the head works per pixel."""
    if head.name == "fields":
        return UNet(make_backbone(config.backbone, pretrained, features_only=True), dropout=config.dropout, **head.params)
    return Network(make_backbone(config.backbone, pretrained), head, config.embedding, config.dropout, extra)


def make_backbone(named: Named, pretrained: bool = False, **options: object) -> nn.Module:
    """A backbone without a classifier on one grey channel: timm's or one of BACKBONES.

    options: further arguments of the backbone's factory. UserError for an unknown name, or when the hub cannot be reached.
    """
    make = BACKBONES.get(named.name, partial(timm.create_model, named.name, in_chans=1, num_classes=0))
    if named.name not in BACKBONES and not timm.is_model(named.name):
        near = timm.list_models(f"*{named.name.split('_')[0]}*")[:5]
        raise UserError(f"timm has no backbone {named.name!r}" + (f"; for example {', '.join(near)}" if near else ""))
    try:
        return make(pretrained=pretrained, **options, **named.params)
    except UserError:
        raise
    except Exception as error:
        if not pretrained:
            raise UserError(f"backbone {named.name} with {named.params} cannot be built: {error}") from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the hub's weights of {named.name} are not available ({reason}); connect to the network, or set weights: [bone_age]"
        ) from error


def n_parameters(network: nn.Module) -> int:
    """Number of weights, frozen ones included."""
    return sum(p.numel() for p in network.parameters())


def bone_age_file(data: str, run: str) -> Path:
    """The weights that stage2_score.pretrain writes."""
    return paths.run_dir(data, 2, run) / "best.safetensors"


def build(config: Member | Pretrain, bone_age: str, head: Named, extra: int = 0) -> tuple[Network, str]:
    """The network with its starting weights, and where they came from: the first of config.weights that is available."""
    faults = []
    for source in config.weights:
        try:
            network = make_network(config, head, extra, pretrained=source == "hub")
            if source == "bone_age":
                _load_bone_age(network, bone_age_file(bone_age, config.pretrained), config.pretrained)
            return network, source
        except UserError as error:
            faults.append(str(error))
    raise UserError("no starting weights: " + "; ".join(faults))


def _load_bone_age(network: Network, path: Path, run: str) -> None:
    if not path.is_file():
        raise UserError(f"{path} does not exist; run python -m stage2_score.pretrain for {run} first, or set weights: [scratch]")
    saved = network.usable_weights({k: v for k, v in load_file(path).items() if not k.startswith("head.")})
    current = network.state_dict()
    wrong = [name for name, value in saved.items() if name not in current or current[name].shape != value.shape]
    if wrong:
        raise UserError(f"{path} does not fit this member ({wrong[0]}); its backbone and embedding must equal those of {run}")
    network.load_state_dict(saved, strict=False)


def save(weights: dict[str, Tensor], path: Path) -> None:
    """Write weights as safetensors."""
    with atomic.replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)
