"""The anatomical template: how joints lie to each other, and how names are settled jointly.

A point distribution model (Cootes et al., CVIU 1995;61:38) of the canonical left hand and foot: mean shape, principal
modes, and the rest's spread, learned from the generator's poses. Detections are candidates; the template decides which
candidate is which joint, and where a joint that nobody saw must be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from ra.anatomy import ALL_JOINTS, JOINTS

CLASS = {joint: i for i, joint in enumerate(ALL_JOINTS)}  # the detector's class numbers
FILE = Path(__file__).parent / "weights" / "template.json"
# Joints that look alike: a detection of one may be another of the same row. Others stand alone.
ROWS = {
    "hand": (("thumb_ip", "pip_2", "pip_3", "pip_4", "pip_5"), ("mcp_1", "mcp_2", "mcp_3", "mcp_4", "mcp_5")),
    "foot": (("mtp_1", "mtp_2", "mtp_3", "mtp_4", "mtp_5"),),
}

LEAST_RADIUS_PX = 4.0  # RMS distance of the joints from their middle; less is a point, not a limb

# Where joints lie on RA2-DREAM's films of the left side, as fractions of width and height (mean over 736 hands and 736 feet,
# sd .03 to .07; the wrist's sites spread around its published centre as on our template): the null model.
USUAL = {
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
    """mean (J, 2) with unit RMS radius around 0; modes (K, J, 2) orthonormal; variance (K,); rest (J,) spread; box (J,) sides."""

    limb: str
    mean: np.ndarray
    modes: np.ndarray
    variance: np.ndarray
    rest: np.ndarray
    box: np.ndarray

    @property
    def joints(self) -> tuple[str, ...]:
        return JOINTS[self.limb]


def learn(points: np.ndarray, boxes: np.ndarray, limb: str, kept: float = 0.985) -> Shape:
    """A shape from examples: points (N, J, 2) of canonical limbs, boxes (N, J) sides in the same unit."""
    centred = points - points.mean(1, keepdims=True)
    size = np.sqrt((centred**2).sum(2).mean(1))
    aligned = centred / size[:, None, None]
    mean = aligned.mean(0)
    for _ in range(5):
        aligned = np.stack([_turned(a, mean) for a in aligned])
        mean = aligned.mean(0)
        mean /= np.sqrt((mean**2).sum(1).mean())
    flat = (aligned - mean).reshape(len(aligned), -1)
    _, singular, modes = np.linalg.svd(flat, full_matrices=False)
    variance = singular**2 / len(flat)
    n = int(np.searchsorted(variance.cumsum() / variance.sum(), kept)) + 1
    rest = flat - (flat @ modes[:n].T) @ modes[:n]
    spread = np.sqrt((rest.reshape(len(rest), -1, 2) ** 2).mean((0, 2)))
    box = np.median(boxes / size[:, None], axis=0)
    return Shape(limb, mean, modes[:n].reshape(n, -1, 2), variance[:n], spread, box)


def _turned(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    u, _, vt = np.linalg.svd(points.T @ target)
    return points @ u @ np.diag([1, np.sign(np.linalg.det(u @ vt))]) @ vt


def from_boxes(films: pd.DataFrame, boxes: pd.DataFrame, least: int = 1) -> dict[str, Shape]:
    """Shapes of the limbs that have at least `least` completely boxed films (tables Films and Boxes), mirrored to left."""
    table = boxes.merge(films[["film_id", "part", "laterality"]], on="film_id")
    table["x_px"] = table.x_px.where(table.laterality == "L", -table.x_px)
    shapes = {}
    for limb, joints in JOINTS.items():
        part = table[(table.part.str[1] == limb[0].upper()) & table.joint.isin(joints)]
        wide = part.pivot_table(index="film_id", columns="joint", values=["x_px", "y_px", "w_px"])
        if not {("x_px", joint) for joint in joints} <= set(wide.columns) or len(wide := wide.dropna()) < least:
            continue
        points = np.stack([wide["x_px"][list(joints)], wide["y_px"][list(joints)]], axis=-1)
        shapes[limb] = learn(points, wide["w_px"][list(joints)].to_numpy(), limb)
    return shapes


def save(shapes: dict[str, Shape], path: Path = FILE) -> None:
    """Shapes as a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(shapes) + "\n")


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
    """The way back from `dumps`."""
    return {limb: Shape(limb, **{k: np.array(v) for k, v in s.items()}) for limb, s in json.loads(text).items()}


def similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(A, t) with target ~ source @ A.T + t, A a scaled rotation: weighted least squares (Umeyama 1991)."""
    w = weight / weight.sum()
    a, b = w @ source, w @ target
    z = (source - a)[:, 0] + 1j * (source - a)[:, 1]
    y = (target - b)[:, 0] + 1j * (target - b)[:, 1]
    c = (w * y * z.conj()).sum() / ((w * np.abs(z) ** 2).sum() + 1e-12)
    matrix = np.array([[c.real, -c.imag], [c.imag, c.real]])
    return matrix, b - matrix @ a


def fit(shape: Shape, points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """All joints (J, 2) of the template fitted to points (J, 2) with weights (J,); how far each may be off (J,); px per unit.

    Alternates the similarity and the modes' weights, each mode held back by its variance. Weights of 0 leave a joint out.
    """
    used = weight > 0
    form = shape.mean
    for _ in range(4):
        matrix, offset = similarity(form[used], points[used], weight[used])
        inverse = np.linalg.inv(matrix)
        local = (points[used] - offset) @ inverse.T - shape.mean[used]
        basis = shape.modes[:, used].reshape(len(shape.modes), -1)
        w = np.repeat(weight[used], 2) / (0.03**2)
        lhs = (basis * w) @ basis.T + np.diag(1 / (shape.variance + 1e-9))
        coefficients = np.linalg.solve(lhs, (basis * w) @ local.ravel())
        form = shape.mean + np.tensordot(coefficients, shape.modes, 1)
    matrix, offset = similarity(form[used], points[used], weight[used])
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    open_modes = np.einsum("kjx,kl,ljx->j", shape.modes, np.linalg.inv(lhs), shape.modes) / 2  # what the seen joints leave open
    return form @ matrix.T + offset, np.sqrt(np.maximum(shape.rest, 0.035) ** 2 + open_modes) * scale, scale


def first_guess(shape: Shape, points: np.ndarray, score: np.ndarray, trials: int = 300) -> np.ndarray:
    """Weights (J,) of the joints that agree on one placement of the mean shape: RANSAC over pairs of best detections."""
    rng = np.random.default_rng(0)
    seen = np.flatnonzero(score > 0)
    if len(seen) < 3:
        return score
    i, j = rng.choice(seen, (2, trials), p=score[seen] / score[seen].sum())
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
    return np.where(best > 0.5 * score, best, 0.0)  # a neighbour's name is not half agreement


@dataclass(frozen=True)
class Fitted:
    """points (J, 2), box (J,) sides and conf (J,), NaN where the template alone placed the joint; agree (J,) and quality 0..1."""

    points: np.ndarray
    box: np.ndarray
    conf: np.ndarray
    quality: float
    agree: np.ndarray


def settle(shape: Shape, places: np.ndarray, sides: np.ndarray, scores: np.ndarray, rounds: int = 5) -> Fitted | None:
    """Names for candidates: places (M, 2), sides (M,), scores (M, J). None when too little was seen to place the template."""
    try:
        return _settle(shape, places, sides, scores, rounds)
    except np.linalg.LinAlgError:  # every candidate at one place
        return None


def _settle(shape: Shape, places: np.ndarray, sides: np.ndarray, scores: np.ndarray, rounds: int) -> Fitted | None:
    n = len(shape.joints)
    if len(places) < 3:
        return None
    top = scores.argmax(0)
    score = scores.max(0)
    weight = first_guess(shape, places[top], np.where(score > 0.05, score, 0.0))
    if (weight > 0).sum() < 3:
        return None
    guess, spread, scale = fit(shape, places[top], weight)
    points, conf, chosen = places[top], np.zeros(n), np.zeros(n, int)
    likely = np.log(np.maximum(_within_rows(shape, scores), 1e-4))
    for step in range(rounds):
        reach = spread * (2.0 if step == 0 else 1.5)
        distance = np.hypot(*(places[:, None] - guess[None]).transpose(2, 0, 1)) / reach
        cost = np.where(distance < 4, 0.5 * distance**2 - likely, 60.0)
        cost = np.vstack([cost, np.full((n, n), 60.0)])
        cost[len(places) + np.arange(n), np.arange(n)] = 9.0 + 0.5  # nobody: the template places the joint
        row, column = linear_sum_assignment(cost)
        chosen = np.empty(n, int)
        chosen[column] = row
        found = chosen < len(places)
        if found.sum() < 3:
            return None
        points = np.where(found[:, None], places[np.minimum(chosen, len(places) - 1)], guess)
        conf = np.where(found, scores[np.minimum(chosen, len(places) - 1)].max(1), 0.0)
        guess, spread, scale = fit(shape, points, conf)
    if scale < LEAST_RADIUS_PX:
        return None
    gap = np.hypot(*(points - guess).T) / spread
    box = np.where(found, sides[np.minimum(chosen, len(places) - 1)], shape.box * scale)
    own = np.where(found, scores[np.minimum(chosen, len(places) - 1), np.arange(n)], 0.0)
    agree = own * np.exp(-0.5 * (gap / 3) ** 2)
    return Fitted(points, box, np.where(found, conf, np.nan), float(agree.mean()), agree)


def _within_rows(shape: Shape, scores: np.ndarray) -> np.ndarray:
    """Scores (M, J) in which a joint of a row gets a tenth of its neighbours' score: the name may be wrong, the kind not."""
    out = scores.copy()
    index = {joint: i for i, joint in enumerate(shape.joints)}
    for row in ROWS[shape.limb]:
        members = [index[joint] for joint in row]
        out[:, members] = np.maximum(out[:, members], 0.1 * scores[:, members].max(1, keepdims=True))
    return out
