"""A cumulative ordinal head: one score per finding is compared with the joint's ordered thresholds.

P(grade > k) = sigmoid(score - threshold_k), the proportional-odds model (McCullagh, J R Stat Soc B 1980;42:109), as in the best
published network on RAM-H1200 (arXiv 2605.05616). The thresholds rise by construction, so no probability is negative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from stage2_score.loss import FAR_BELOW

MIN_GAP = 1e-6  # smallest gap between two thresholds, below which its logarithm would diverge


class Ordinal(nn.Module):
    """features (N, F) and kind (N,) -> per finding log-probabilities (N, n grades) and logits `<finding>_above` (N, n - 1)."""

    def __init__(self, features: int, max_grades: dict[str, Tensor], hidden: int = 128, dropout: float = 0.2):
        """max_grades: finding -> (n kinds,) largest grade of each joint, -1 where the finding is not scored."""
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.ModuleDict({finding: nn.Linear(hidden, 1, bias=False) for finding in max_grades})
        self.first, self.gaps = nn.ParameterDict(), nn.ParameterDict()  # the lowest threshold; softplus^-1 of the steps above
        for finding, maximum in max_grades.items():
            nn.init.normal_(self.out[finding].weight, std=0.01)
            self.first[finding] = nn.Parameter(torch.zeros(len(maximum), 1))
            self.gaps[finding] = nn.Parameter(torch.full((len(maximum), int(maximum.max()) - 1), 0.5))
            self.register_buffer(f"max_{finding}", maximum[:, None], persistent=False)

    def set_prior(self, counts: dict[str, Tensor]) -> None:
        """Start the thresholds at the grade frequencies of each joint; counts: finding -> (n kinds, n grades)."""
        with torch.no_grad():
            for finding, count in counts.items():
                pooled = count.sum(0, keepdim=True) / count.sum().clamp_min(1)
                p = count + 5 * pooled + 0.1
                above = p.flip(1).cumsum(1).flip(1)[:, 1:] / p.sum(1, keepdim=True)
                threshold = -above.logit()
                self.first[finding].copy_(threshold[:, :1])
                self.gaps[finding].copy_(threshold.diff(dim=1).clamp_min(MIN_GAP).expm1().log())

    def thresholds(self, finding: str) -> Tensor:
        """Thresholds (n kinds, n grades - 1) in ascending order."""
        return self.first[finding] + torch.cat([torch.zeros_like(self.first[finding]), softplus(self.gaps[finding]).cumsum(1)], 1)

    def forward(self, features: Tensor, kind: Tensor) -> dict[str, Tensor]:
        hidden, out = self.trunk(features), {}
        for finding, layer in self.out.items():
            above = layer(hidden).float() - self.thresholds(finding)[kind]
            maximum = getattr(self, f"max_{finding}")[kind]
            out[finding], out[f"{finding}_above"] = log_grades(above, maximum), above
        return out


def log_grades(above: Tensor, maximum: Tensor) -> Tensor:
    """Log-probabilities (N, n) of grades 0..n-1 from descending logits of P(grade > k) (N, n - 1); masked above `maximum` (N, 1).

    sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), whose logarithm neither overflows nor cancels.
    """
    k = torch.arange(above.shape[1] + 1, device=above.device)
    above = above.masked_fill(k[:-1] >= maximum, FAR_BELOW)
    edge = above.new_full((len(above), 1), -FAR_BELOW)
    upper, lower = torch.cat([edge, above], 1), torch.cat([above, -edge], 1)  # grade k: above k - 1, not above k
    gap = (upper - lower).clamp_min(MIN_GAP)
    log_p = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-gap))
    return log_p.masked_fill(k > maximum, FAR_BELOW)
