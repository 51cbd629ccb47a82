"""Anatomical shape model: how the joints of a limb lie relative to each other, and which detection is which joint.

A point distribution model (Cootes et al., CVIU 1995;61:38) of the canonical left hand and foot: mean shape, principal modes and
residual spread, learned from the generator's poses. The network's detections are candidates; the shape model decides which
candidate is which joint and where a joint without a detection must be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from ra import atomic
from ra.anatomy import ALL_JOINTS, JOINTS

CLASS = {joint: i for i, joint in enumerate(ALL_JOINTS)}  # the detector's class numbers
FILE = Path(__file__).parent / "weights" / "template.json"
# Joints that look alike: a detection of one may be another joint of the same row. Joints in no row are never exchanged.
ROWS = {
    "hand": (("thumb_ip", "pip_2", "pip_3", "pip_4", "pip_5"), ("mcp_1", "mcp_2", "mcp_3", "mcp_4", "mcp_5")),
    "foot": (("mtp_1", "mtp_2", "mtp_3", "mtp_4", "mtp_5"),),
}
# A detection gives the other joints of its row at least this share of its best score: the network may confuse joints of one row.
ROW_SHARE = 0.1

LEAST_RADIUS_PX = 4.0  # RMS distance of the joints from their centre; a smaller fit is rejected
KEPT_VARIANCE = 0.985  # share of the variance that the modes hold
PRIOR_FILMS = 4  # number of films that the shipped shape counts as when a shape is learned from few films

# Costs of the assignment of detections to joints. A detection of score s at d spreads from a joint's expected position costs
# d^2 / 2 - log s: the negative log-likelihood of a normal position error and of the network's score.
MAX_DISTANCE = 4.0  # spreads; a detection further away is never that joint
LEAST_SCORE = 1e-4  # below which log s stays the same
COST_WITHOUT_DETECTION = 9.5  # of leaving a joint to the shape model: a weak (s = .05) detection is preferred up to 3.6 spreads
COST_FORBIDDEN = 60.0

# Typical positions of the joints on RA2-DREAM's films of the left side, as fractions of width and height (mean over 736 hands and
# 736 feet, sd .03 to .07; the wrist's sites are spread around its published centre as in our shape model): the null model.
TYPICAL_POSITION = {
    "thumb_ip": (0.851, 0.501), "pip_2": (0.630, 0.286), "pip_3": (0.458, 0.262), "pip_4": (0.310, 0.313),
    "pip_5": (0.170, 0.411),
    "mcp_1": (0.779, 0.623), "mcp_2": (0.605, 0.462), "mcp_3": (0.467, 0.460), "mcp_4": (0.356, 0.494), "mcp_5": (0.255, 0.541),
    "wrist_mc1": (0.605, 0.765), "wrist_mul": (0.547, 0.777), "wrist_nav": (0.505, 0.830), "wrist_lunate": (0.410, 0.865),
    "wrist_radius": (0.483, 0.909), "wrist_ulna": (0.329, 0.909), "wrist_cmc3": (0.471, 0.740), "wrist_cmc4": (0.417, 0.728),
    "wrist_cmc5": (0.365, 0.727), "wrist_mna": (0.530, 0.794), "wrist_capnlun": (0.447, 0.844), "wrist_radcar": (0.460, 0.883),
    "hallux_ip": (0.714, 0.208), "mtp_1": (0.735, 0.375), "mtp_2": (0.547, 0.349), "mtp_3": (0.438, 0.369),
    "mtp_4": (0.331, 0.411),
    "mtp_5": (0.207, 0.479),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Shape of a limb: mean (J, 2) with unit RMS radius around 0; modes (K, J, 2) orthonormal, with their variance (K,).

    rest (J,): residual spread that the modes leave; box (J,): sides of the joints' boxes.
    """

    limb: str
    mean: np.ndarray
    modes: np.ndarray
    variance: np.ndarray
    rest: np.ndarray
    box: np.ndarray

    @property
    def joints(self) -> tuple[str, ...]:
        return JOINTS[self.limb]


def learn(points: np.ndarray, boxes: np.ndarray, limb: str) -> Shape:
    """Learn a shape from examples: points (N, J, 2) of canonical limbs, boxes (N, J) sides in the same unit."""
    centred = points - points.mean(1, keepdims=True)
    size = np.sqrt((centred**2).sum(2).mean(1))
    aligned = centred / size[:, None, None]
    mean = aligned.mean(0)
    for _ in range(5):
        aligned = np.stack([_rotated_onto(a, mean) for a in aligned])
        mean = aligned.mean(0)
        mean /= np.sqrt((mean**2).sum(1).mean())
    flat = (aligned - mean).reshape(len(aligned), -1)
    _, singular, modes = np.linalg.svd(flat, full_matrices=False)
    variance = singular**2 / len(flat)
    n = int(np.searchsorted(variance.cumsum() / variance.sum(), KEPT_VARIANCE)) + 1
    rest = flat - (flat @ modes[:n].T) @ modes[:n]
    spread = np.sqrt((rest.reshape(len(rest), -1, 2) ** 2).mean((0, 2)))
    box = np.median(boxes / size[:, None], axis=0)
    return Shape(limb, mean, modes[:n].reshape(n, -1, 2), variance[:n], spread, box)


def _rotated_onto(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points rotated to lie as close as possible to the target (orthogonal Procrustes without reflection)."""
    u, _, vt = np.linalg.svd(points.T @ target)
    return points @ u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt


def from_boxes(films: pd.DataFrame, boxes: pd.DataFrame) -> dict[str, Shape]:
    """Shapes of the limbs that have completely boxed films (tables Films and Boxes), mirrored to left."""
    table = boxes.merge(films[["film_id", "part", "laterality"]], on="film_id")
    table["x_px"] = table.x_px.where(table.laterality == "L", -table.x_px)
    shapes = {}
    for limb, joints in JOINTS.items():
        of_limb = table[(table.part.str[1] == limb[0].upper()) & table.joint.isin(joints)]
        wide = of_limb.pivot_table(index="film_id", columns="joint", values=["x_px", "y_px", "w_px"])
        if not {("x_px", joint) for joint in joints} <= set(wide.columns):
            continue
        wide = wide.dropna()
        if wide.empty:
            continue
        points = np.stack([wide["x_px"][list(joints)], wide["y_px"][list(joints)]], axis=-1)
        shapes[limb] = learn(points, wide["w_px"][list(joints)].to_numpy(), limb)
    return shapes


def save(shapes: dict[str, Shape], path: Path = FILE) -> None:
    """Write shapes as a JSON file."""
    atomic.write_text(path, dumps(shapes) + "\n")


def dumps(shapes: dict[str, Shape]) -> str:
    """Shapes as JSON, five decimals."""
    value = {
        limb: {k: np.round(getattr(s, k), 5).tolist() for k in ("mean", "modes", "variance", "rest", "box")}
        for limb, s in shapes.items()
    }
    return json.dumps(value)


@cache
def load(path: Path = FILE) -> dict[str, Shape]:
    """The shipped shapes, by limb."""
    return loads(path.read_text())


def loads(text: str) -> dict[str, Shape]:
    """Shapes from the JSON of `dumps`."""
    return {limb: Shape(limb, **{k: np.array(v) for k, v in s.items()}) for limb, s in json.loads(text).items()}


def similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least-squares similarity (Umeyama 1991): (A, t) with target ~ source @ A.T + t, A a scaled rotation."""
    w = weight / weight.sum()
    a, b = w @ source, w @ target
    z = (source - a)[:, 0] + 1j * (source - a)[:, 1]
    y = (target - b)[:, 0] + 1j * (target - b)[:, 1]
    c = (w * y * z.conj()).sum() / ((w * np.abs(z) ** 2).sum() + 1e-12)
    matrix = np.array([[c.real, -c.imag], [c.imag, c.real]])
    return matrix, b - matrix @ a


def fit(shape: Shape, points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit the shape to points (J, 2) with weights (J,): fitted joints (J, 2), their uncertainty (J,) and the scale, px per unit.

    Alternates between the similarity and the modes' coefficients, which are penalised by the modes' variances. A joint of weight
    0 is not used.
    """
    used = weight > 0
    fitted = shape.mean
    for _ in range(4):
        matrix, offset = similarity(fitted[used], points[used], weight[used])
        inverse = np.linalg.inv(matrix)
        local = (points[used] - offset) @ inverse.T - shape.mean[used]
        basis = shape.modes[:, used].reshape(len(shape.modes), -1)
        w = np.repeat(weight[used], 2) / (0.03**2)
        lhs = (basis * w) @ basis.T + np.diag(1 / (shape.variance + 1e-9))
        coefficients = np.linalg.solve(lhs, (basis * w) @ local.ravel())
        fitted = shape.mean + np.tensordot(coefficients, shape.modes, 1)
    matrix, offset = similarity(fitted[used], points[used], weight[used])
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    open_modes = (
        np.einsum("kjx,kl,ljx->j", shape.modes, np.linalg.inv(lhs), shape.modes) / 2
    )  # what the used joints leave undetermined
    return fitted @ matrix.T + offset, np.sqrt(np.maximum(shape.rest, 0.035) ** 2 + open_modes) * scale, scale


def consensus_weights(shape: Shape, points: np.ndarray, score: np.ndarray, trials: int = 300) -> np.ndarray:
    """Weights (J,) of the joints that agree on one placement of the mean shape, else 0: RANSAC over pairs of best detections."""
    rng = np.random.default_rng(0)
    detected = np.flatnonzero(score > 0)
    if len(detected) < 3:
        return score
    i, j = rng.choice(detected, (2, trials), p=score[detected] / score[detected].sum())
    z_mean, z_points = shape.mean @ [1, 1j], points @ [1, 1j]
    with np.errstate(divide="ignore", invalid="ignore"):
        c = (z_points[i] - z_points[j]) / (z_mean[i] - z_mean[j])
    plausible = (i != j) & (np.abs(c) > 1e-6) & (np.abs(np.angle(c)) < 1.4)  # other orientations are tried by turning the film
    if not plausible.any():
        return score
    i, c = i[plausible, None], c[plausible, None]
    error = np.abs(z_points - (c * (z_mean - z_mean[i]) + z_points[i])) / np.abs(c)
    support = score * np.exp(-((error / 0.28) ** 2))
    best = support[support.sum(1).argmax()]
    return np.where(best > 0.5 * score, best, 0.0)  # a detection at the neighbouring joint gets about half


@dataclass(frozen=True)
class ShapeFit:
    """Joints of one limb: points (J, 2), box (J,) sides and conf (J,), NaN where the shape model alone placed the joint.

    joint_quality (J,) 0..1: the detection's score for its joint, less if it lies away from the fitted shape; quality: their mean.
    """

    points: np.ndarray
    box: np.ndarray
    conf: np.ndarray
    quality: float
    joint_quality: np.ndarray


def assign_joints(shape: Shape, places: np.ndarray, sides: np.ndarray, scores: np.ndarray, rounds: int = 5) -> ShapeFit | None:
    """Assign candidates (places (M, 2), sides (M,), scores (M, J)) to the joints of a limb; None if the shape does not fit them.

    Alternates between an optimal assignment (costs: top of this file) and a fit of the shape to the assigned detections.
    """
    try:
        return _assign(shape, places, sides, scores, rounds)
    except np.linalg.LinAlgError:  # all candidates lie at one place
        return None


def _assign(shape: Shape, places: np.ndarray, sides: np.ndarray, scores: np.ndarray, rounds: int) -> ShapeFit | None:
    n = len(shape.joints)
    if len(places) < 3:
        return None
    best, score = scores.argmax(0), scores.max(0)
    weight = consensus_weights(shape, places[best], np.where(score > 0.05, score, 0.0))
    if (weight > 0).sum() < 3:
        return None
    expected, spread, scale = fit(shape, places[best], weight)
    log_scores = np.log(np.maximum(_shared_within_rows(shape, scores), LEAST_SCORE))
    for step in range(rounds):
        tolerance = spread * (2.0 if step == 0 else 1.5)
        distance = np.hypot(*(places[:, None] - expected[None]).transpose(2, 0, 1)) / tolerance
        candidate = _assignment(np.where(distance < MAX_DISTANCE, 0.5 * distance**2 - log_scores, COST_FORBIDDEN))
        detected = candidate < len(places)
        if detected.sum() < 3:
            return None
        candidate = np.minimum(candidate, len(places) - 1)
        points = np.where(detected[:, None], places[candidate], expected)
        conf = np.where(detected, scores[candidate].max(1), 0.0)
        expected, spread, scale = fit(shape, points, conf)
    if scale < LEAST_RADIUS_PX:
        return None
    gap = np.hypot(*(points - expected).T) / spread
    box = np.where(detected, sides[candidate], shape.box * scale)
    joint_score = np.where(detected, scores[candidate, np.arange(n)], 0.0)
    joint_quality = joint_score * np.exp(-0.5 * (gap / 3) ** 2)
    return ShapeFit(points, box, np.where(detected, conf, np.nan), float(joint_quality.mean()), joint_quality)


def _assignment(cost: np.ndarray) -> np.ndarray:
    """Candidate (J,) of every joint for costs (M, J); M or more where the joint is left to the shape model."""
    n = cost.shape[1]
    without = np.full((n, n), COST_FORBIDDEN)
    np.fill_diagonal(without, COST_WITHOUT_DETECTION)
    row, column = linear_sum_assignment(np.vstack([cost, without]))
    candidate = np.empty(n, int)
    candidate[column] = row
    return candidate


def _shared_within_rows(shape: Shape, scores: np.ndarray) -> np.ndarray:
    """Scores (M, J) in which every joint of a row has at least ROW_SHARE of the row's best score."""
    out = scores.copy()
    index = {joint: i for i, joint in enumerate(shape.joints)}
    for row in ROWS[shape.limb]:
        members = [index[joint] for joint in row]
        out[:, members] = np.maximum(out[:, members], ROW_SHARE * scores[:, members].max(1, keepdims=True))
    return out


def shrink_towards(shipped: Shape, learned: Shape, films: int) -> Shape:
    """Shape learned from few films, shrunk towards the shipped one, which counts as PRIOR_FILMS films.

    Mean, covariance and box sides are those of both groups of films pooled: variation that few films cannot show (a bent finger)
    stays possible, and what they do show (other proportions) is learned.
    """
    matrix, _ = similarity(learned.mean, shipped.mean, np.ones(len(learned.mean)))
    rotation = matrix / np.sqrt(np.linalg.det(matrix))
    learned_mean = learned.mean @ rotation.T
    weight = films / (films + PRIOR_FILMS)
    mean = weight * learned_mean + (1 - weight) * shipped.mean
    difference = (learned_mean - shipped.mean).ravel()
    covariance = weight * _covariance(learned, rotation) + (1 - weight) * _covariance(shipped, np.eye(2))
    covariance += weight * (1 - weight) * np.outer(difference, difference)
    size = np.sqrt((mean**2).sum(1).mean())
    box = np.exp(weight * np.log(learned.box) + (1 - weight) * np.log(shipped.box)) / size
    return _from_covariance(shipped.limb, mean / size, covariance / size**2, box)


def _covariance(shape: Shape, rotation: np.ndarray) -> np.ndarray:
    """Covariance (2J, 2J) of the rotated shape's points around their mean."""
    modes = (shape.modes @ rotation.T).reshape(len(shape.modes), -1)
    return (modes.T * shape.variance) @ modes + np.diag(np.repeat(shape.rest**2, 2))


def _from_covariance(limb: str, mean: np.ndarray, covariance: np.ndarray, box: np.ndarray) -> Shape:
    variance, vectors = np.linalg.eigh(covariance)
    variance, vectors = variance[::-1], vectors[:, ::-1]
    n = int(np.searchsorted(variance.cumsum() / variance.sum(), KEPT_VARIANCE)) + 1
    rest = (vectors[:, n:] ** 2 * np.maximum(variance[n:], 0)).sum(1).reshape(-1, 2)
    return Shape(limb, mean, vectors[:, :n].T.reshape(n, -1, 2), variance[:n], np.sqrt(rest.mean(1)), box)
