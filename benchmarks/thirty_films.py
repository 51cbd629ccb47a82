"""Gain from finetuning on thirty corrected films of another kind: python -m benchmarks.thirty_films [--films 30] [--fresh 60].

The films are drawn with capsules and discs: bones, proportions and greys unlike anything in the shipped detector's training data.
Their boxes take the place of a person's corrections: they are written as COCO and read by the same functions as in the commands.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import cv2
import numpy as np

from ra import cli, config
from ra.anatomy import JOINTS, PARTS, limb
from ra.imaging import film
from stage1_detect.annotation import marked as marked_films
from stage1_detect.annotation.marked import MarkedFilm, MarkedLimb

LONG_PX = 400
CARPALS = ("mul", "nav", "lunate", "capnlun", "cmc5")  # drawn as discs
# Fingers of a crude left hand: direction in degrees clockwise from up, length of the ray in shares of the film's height.
FINGERS = {1: (48, 0.34), 2: (14, 0.62), 3: (2, 0.66), 4: (-11, 0.60), 5: (-25, 0.50)}
CARPUS = {  # positions in the wrist, in shares of the palm's breadth from the wrist's middle (x to the thumb's side, y down)
    "wrist_mc1": (0.42, -0.30), "wrist_mul": (0.30, -0.24), "wrist_nav": (0.22, 0.02), "wrist_lunate": (-0.04, 0.12),
    "wrist_radius": (0.16, 0.36), "wrist_ulna": (-0.28, 0.36), "wrist_cmc3": (0.05, -0.36), "wrist_cmc4": (-0.12, -0.36),
    "wrist_cmc5": (-0.28, -0.32), "wrist_mna": (0.28, -0.12), "wrist_capnlun": (0.06, -0.06), "wrist_radcar": (0.08, 0.24),
}  # fmt: skip


def crude_film(part: str, seed: int) -> tuple[np.ndarray, dict[str, tuple[float, float]], float]:
    """uint8 (400, ~300) film of one limb, its joints (x, y) in px and the side of their boxes."""
    rng = np.random.default_rng((seed, PARTS.index(part)))
    width, height = round(LONG_PX * rng.uniform(0.7, 0.85)), LONG_PX
    joints, bones = (_hand if limb(part) == "hand" else _foot)(rng)
    size = height * rng.uniform(0.88, 1.0)
    angle = np.radians(rng.normal(0, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([width / 2, height * rng.uniform(0.48, 0.54)])
    place = {name: np.array(xy) @ turn.T * size + middle for name, xy in joints.items()}
    grey = np.full((height, width), rng.uniform(10, 70), np.float32)
    bright = rng.uniform(90, 150)
    for start, end, thick in bones:  # soft tissue, then bone
        ends = [tuple(int(v) for v in np.round(np.array(p) @ turn.T * size + middle)) for p in (start, end)]
        cv2.line(grey, *ends, float(grey[0, 0] + 0.3 * bright), round(2.6 * thick * size))
    for start, end, thick in bones:
        ends = [tuple(int(v) for v in np.round(np.array(p) @ turn.T * size + middle)) for p in (start, end)]
        cv2.line(grey, *ends, float(grey[0, 0] + bright), max(2, round(thick * size)))
    side = 0.06 * size
    for x, y in place.values():
        cv2.circle(grey, (round(x), round(y)), max(2, round(0.17 * side)), float(grey[0, 0] + 0.25 * bright), -1)
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.6, 1.6)) + rng.normal(0, rng.uniform(2, 9), grey.shape)
    grey = np.clip(grey, 0, 255).astype(np.uint8)
    if part[0] == "R":
        grey, place = np.ascontiguousarray(grey[:, ::-1]), {n: np.array([width - 1 - x, y]) for n, (x, y) in place.items()}
    return grey, {name: (float(x), float(y)) for name, (x, y) in place.items()}, side


def _hand(rng: np.random.Generator) -> tuple[dict, list]:
    wrist, palm = np.array([0.0, 0.26]), 0.22 * rng.uniform(0.9, 1.1)
    joints = {name: wrist + palm * (np.array(xy) + rng.normal(0, 0.02, 2)) for name, xy in CARPUS.items()}
    bones = [(joints["wrist_radius"], joints["wrist_radius"] + [0.01, 0.26], 0.045)]
    bones += [(joints["wrist_ulna"], joints["wrist_ulna"] + [-0.01, 0.26], 0.035)]
    bones += [(joints[name], joints[name] + [0.004, 0], 0.035) for name in CARPUS if name[6:] in CARPALS]
    for number, (degrees, length) in FINGERS.items():
        a = np.radians(degrees + rng.normal(0, 4))
        direction = np.array([np.sin(a), -np.cos(a)])
        root = wrist + palm * np.array([(3 - number) * 0.16, -0.28])
        long = length * rng.uniform(0.94, 1.06)
        stops = [root + direction * long * share for share in ((0, 0.45, 0.8, 1) if number == 1 else (0, 0.42, 0.72, 1))]
        joints[f"mcp_{number}"], joints["thumb_ip" if number == 1 else f"pip_{number}"] = stops[1], stops[2]
        bones += [(p, q, 0.03) for p, q in pairwise(stops)]
    return joints, bones


def _foot(rng: np.random.Generator) -> tuple[dict, list]:
    joints, bones, heel = {}, [], np.array([0.02, 0.45])
    for number in range(1, 6):
        x = 0.2 - 0.09 * (number - 1)
        direction = np.array([x * 0.25 + rng.normal(0, 0.01), -1.0])
        mtp = np.array([x, -0.12 + 0.035 * (number - 1) ** 1.3]) + rng.normal(0, 0.006, 2)
        joints[f"mtp_{number}"] = mtp
        tip = mtp + direction * (0.3 - 0.035 * (number - 1)) * rng.uniform(0.92, 1.08)
        if number == 1:
            joints["hallux_ip"] = mtp + 0.55 * (tip - mtp)
        thick = 0.055 if number == 1 else 0.03
        bones += [(heel + (mtp - heel) * 0.3, mtp, thick), (mtp, tip, 0.8 * thick)]
    return joints, [*bones, (heel, heel - [0, 0.12], 0.1)]


def write(folder: Path, count: int, seed: int) -> Path:
    """Write `count` films, their parts in turn, and their boxes; returns the COCO file."""
    folder.mkdir(parents=True)
    films = {}
    for i in range(count):
        part = PARTS[i % 4]
        grey, joints, side = crude_film(part, seed + i)
        name = f"C{i:04d}-{part}.png"
        cv2.imwrite(str(folder / name), grey)
        boxes = {joint: [*joints[joint], side, side] for joint in JOINTS[limb(part)]}
        films[name] = MarkedFilm(grey.shape[1], grey.shape[0], [MarkedLimb(part, boxes)])
    marked_films.write(films, folder / "joints.coco.json")
    return folder / "joints.coco.json"


def fraction_located(weights: Path | None, folder: Path) -> dict[str, float]:
    """Fraction of joints located within 2 % of the film's long side, by limb, over the films of a folder."""
    from stage1_detect import model
    from stage1_detect.film_tables import read_all
    from stage1_detect.joint_detections import JointDetections

    detector = model.load(weights or model.SHIPPED)
    films = marked_films.read(folder / "joints.coco.json")
    jobs = [(partial(film.read, folder / name), marked.limbs[0].part) for name, marked in films.items()]
    located: dict[str, list[bool]] = {kind: [] for kind in JOINTS}
    for marked, reading in zip(films.values(), read_all(detector, jobs, "reading"), strict=True):
        kind = limb(marked.limbs[0].part)
        truth = np.array([marked.limbs[0].boxes[joint][:2] for joint in JOINTS[kind]])
        near = np.zeros(len(truth), bool)
        if isinstance(reading, JointDetections):
            near = np.hypot(*(reading.points - truth).T) < 0.02 * max(marked.width_px, marked.height_px)
        located[kind] += list(near)
    return {kind: float(np.mean(v)) for kind, v in located.items()} | {"all": float(np.mean(list(chain(*located.values()))))}


def run() -> None:
    """Print the fraction of located joints before and after finetuning."""
    from stage1_detect import finetune
    from stage1_detect.config import CONFIGS, DetectorConfig

    parser = cli.parser(__doc__, "profile", "set")
    parser.add_argument("--films", type=int, default=30, help="corrected films (default %(default)s)")
    parser.add_argument("--fresh", type=int, default=60, help="films to measure on (default %(default)s)")
    args = parser.parse_args()
    settings = config.load(DetectorConfig, CONFIGS / "yolo.yaml", args.sets, args.profile)
    with tempfile.TemporaryDirectory() as folder:
        corrected, fresh, weights = Path(folder) / "corrected", Path(folder) / "fresh", Path(folder) / "my.safetensors"
        boxes = write(corrected, args.films, 1000)
        write(fresh, args.fresh, 5000)
        before = fraction_located(None, fresh)
        start, start_cpu = time.time(), time.process_time()
        finetune.finetune(*finetune.tables(corrected, boxes), settings, weights, "auto")
        minutes, cpu_minutes = (time.time() - start) / 60, (time.process_time() - start_cpu) / 60
        after = fraction_located(weights, fresh)
    duration = f"{minutes:.1f} minutes ({cpu_minutes:.1f} of processor time)"  # which other load does not change
    print(f"joints within 2 % of the long side on {args.fresh} fresh films; {args.films} corrected films, {duration}")
    for name, shares in (("as shipped", before), ("finetuned", after)):
        print(f"{name:12s}" + "".join(f"  {kind} {share:6.1%}" for kind, share in shares.items()))


if __name__ == "__main__":
    cli.main(run)
