"""Cut canonical crops of all joints: right parts mirrored, scaled by the hand, turned along the finger, grey levels stretched.

`cut_all` writes crops.npy with crops.parquet (joints) and canvases.npy with canvases.parquet (whole parts).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from ra import paths, tables, training_log
from ra.anatomy import HAND_JOINTS, JOINTS, limb
from ra.config import UserError
from stage2_score import picture_array
from stage2_score.config import Crops
from stage2_score.parallel import cores
from stage2_score.picture_array import INDEX, PictureArray

FOOT_TILT_DEG = 16.0  # slope of the line mtp_5 -> mtp_1 on an upright left foot, rising (mean of 736 feet, RA2-DREAM)
WRISTS = HAND_JOINTS[10:]
BOX = ["x_px", "y_px", "w_px", "h_px"]

Points = dict[str, np.ndarray]  # joint -> (x, y) in canonical pixels


def film_scale(points: np.ndarray) -> float:
    """RMS distance (px) of joint centres (n, 2) from their median; a distance is capped at twice the median distance."""
    distance = np.hypot(*(points - np.median(points, axis=0)).T)
    return float(np.sqrt(np.mean(np.minimum(distance, 2 * np.median(distance)) ** 2)))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.hypot(*vector)), 1e-6)


def part_axis(points: Points) -> np.ndarray:
    """Unit vector along the hand (wrist to knuckles) or the foot (heel to toes), in canonical pixels (y down)."""
    if "pip_3" in points:
        knuckles = np.mean([points[f"mcp_{i}"] for i in range(2, 6)], axis=0)
        return _unit(knuckles - np.mean([points[j] for j in WRISTS], axis=0))
    across, tilt = _unit(points["mtp_1"] - points["mtp_5"]), np.deg2rad(FOOT_TILT_DEG)
    level = np.array([across[0] * np.cos(tilt) - across[1] * np.sin(tilt), across[0] * np.sin(tilt) + across[1] * np.cos(tilt)])
    return np.array([level[1], -level[0]])


def joint_axis(joint: str, points: Points) -> np.ndarray:
    """Unit vector that points up in the joint's crop: along the joint's finger or toe, else along the part."""
    row, number = joint.split("_", 1)
    if joint == "hallux_ip":
        return _unit(points[joint] - points["mtp_1"])
    if row in {"mtp", "wrist"}:
        return part_axis(points)
    number = "1" if row == "thumb" else number
    knuckle, tip = points[f"mcp_{number}"], points["thumb_ip" if number == "1" else f"pip_{number}"]
    if row != "mcp":
        return _unit(tip - knuckle)
    root = points["wrist_mc1"] if number == "1" else np.mean([points[j] for j in WRISTS], axis=0)
    return _unit(_unit(tip - knuckle) + _unit(knuckle - root))


def side_frac(joint: str, settings: Crops) -> float:
    """Side of a joint's crop in units of the film's scale."""
    if joint in WRISTS:
        return settings.wrist
    return settings.finger if joint in HAND_JOINTS else settings.toe


def grey_table(pixels: np.ndarray, points: np.ndarray, settings: Crops) -> np.ndarray:
    """Lookup table (256,) uint8 that stretches the greys around the joints, so that films of different exposure look alike."""
    from ra.imaging import intensity

    margin = film_scale(points) * 0.4
    (x0, y0), (x1, y1) = (points.min(0) - margin).astype(int).clip(0), (points.max(0) + margin).astype(int).clip(1)
    region = pixels[y0:y1:4, x0:x1:4]
    low, high = np.percentile(region if region.size else pixels, [settings.low_percentile, settings.high_percentile])
    return intensity.stretch_table(low, high)


def joints_of_part(part: str, settings: Crops) -> tuple[str, ...]:
    """Joints whose crops are cut from a whole part, in order; with box crops the whole wrist is one more."""
    whole_wrist = ("wrist",) if settings.cut == "box" and limb(part) == "hand" else ()
    return (*JOINTS[limb(part)], *whole_wrist)


def joints_of_film(part: str, boxes: pd.DataFrame | None, settings: Crops) -> tuple[str, ...]:
    """Joints to crop from one film: empty without boxes; exactly one if the film is itself the picture of a single joint."""
    if boxes is None:
        return ()
    return tuple(boxes.joint) if settings.cut == "box" and len(boxes) == 1 else joints_of_part(part, settings)


def wrist_box(boxes: np.ndarray) -> np.ndarray:
    """(x, y, w, h) of the smallest box around boxes (n, 4), each by its centre and size."""
    low, high = (boxes[:, :2] - boxes[:, 2:] / 2).min(0), (boxes[:, :2] + boxes[:, 2:] / 2).max(0)
    return np.concatenate([(low + high) / 2, high - low])


def cut_box(grey: np.ndarray, box: np.ndarray, out_px: int) -> np.ndarray:
    """Crop (px, px) of a film's box (x, y, w, h) whose longer side fills it; black beyond the box and beyond the film.

    Rohrbach et al. 2019, section 3.1: 150 x 150 pixels with a black border where the aspect differs, unchanged greys.
    """
    from ra.imaging import film

    centre, size, side = box[:2], np.maximum(box[2:], 1.0), max(float(box[2:].max()), 1.0)
    crop = film.crop(grey, float(centre[0]), float(centre[1]), side, out_px)
    offset = ((np.arange(out_px) + 0.5) / out_px - 0.5) * side  # from the box's centre to the crop's pixels, in film pixels
    inside = []
    for axis in (0, 1):
        position = offset + centre[axis]
        on_film = (position >= -0.5) & (position <= grey.shape[1 - axis] - 0.5)
        inside.append((abs(offset) <= size[axis] / 2) & on_film)
    return crop * (inside[1][:, None] & inside[0])


def cut_film(grey: np.ndarray, boxes: pd.DataFrame, part: str, settings: Crops) -> tuple[np.ndarray, np.ndarray]:
    """Canonical crops (n of joints_of_part, px, px) and canvas (px, px) of one film.

    grey: uint8 (H, W), bones bright; boxes: the film's Boxes rows; part: begins with R if the picture shows a right part. The
    results for a right part equal, pixel by pixel, those for the mirrored film as a left part.
    """
    from ra.imaging import film

    boxes = boxes.set_index("joint").loc[list(JOINTS[limb(part)])]
    xy = boxes[["x_px", "y_px"]].to_numpy(float)
    if part[0] == "R":
        grey = np.ascontiguousarray(grey[:, ::-1])
        xy = np.column_stack([grey.shape[1] - 1 - xy[:, 0], xy[:, 1]])
    points = dict(zip(boxes.index, xy, strict=True))
    scale, table = film_scale(xy), grey_table(grey, xy, settings)

    def cut(centre: np.ndarray, axis: np.ndarray, size_px: float, out_px: int) -> np.ndarray:
        angle = float(np.rad2deg(np.arctan2(axis[0], -axis[1])))  # clockwise from up
        return table[film.crop(grey, float(centre[0]), float(centre[1]), size_px, out_px, angle_deg=angle)]

    if settings.cut == "box":
        crops = _box_crops(grey, np.column_stack([xy, boxes[["w_px", "h_px"]].to_numpy(float)]), part, settings)
    else:
        sides = {joint: side_frac(joint, settings) * scale for joint in points}
        crops = np.stack([cut(points[j], joint_axis(j, points), sides[j], settings.out_px) for j in points])
    axis = part_axis(points)
    across_along = np.array([[-axis[1], axis[0]], [axis[0], axis[1]]])  # to the canvas's axes and, being symmetric, back
    turned = xy @ across_along.T
    low, high = turned.min(0), turned.max(0)
    centre = across_along.T @ ((low + high) / 2)
    return crops, cut(centre, axis, float((high - low).max()) * (1 + 2 * settings.canvas_margin), settings.canvas_px)


def _box_crops(grey: np.ndarray, boxes: np.ndarray, part: str, settings: Crops) -> np.ndarray:
    """Box crops (n of joints_of_part, px, px) of a canonical film with boxes (n joints, 4) x, y, w, h."""
    box_of = dict(zip(JOINTS[limb(part)], boxes, strict=True))
    joints = joints_of_part(part, settings)
    if "wrist" in joints:
        box_of["wrist"] = wrist_box(np.stack([box_of[joint] for joint in WRISTS]))
    return np.stack([cut_box(grey, box_of[joint], settings.out_px) for joint in joints])


def cut_joint(grey: np.ndarray, box: np.ndarray, part: str, settings: Crops) -> np.ndarray:
    """Canonical crop (1, px, px) of a film that shows one joint, by its box (x, y, w, h)."""
    if part[0] == "R":
        grey, box = np.ascontiguousarray(grey[:, ::-1]), np.array([grey.shape[1] - 1 - box[0], *box[1:]])
    return cut_box(grey, box, settings.out_px)[None]


def load_boxes(data: str, run: str, films: pd.DataFrame) -> tuple[pd.DataFrame, list[Path]]:
    """Boxes of every film that has them, and the files they came from.

    For a bone-age set that came with boxes, these are used and `run` is ignored: no score is reported on it, so nothing leaks.
    """
    truth = paths.truth_boxes(data)
    if run == "truth" or (truth.is_file() and (paths.work(data) / "bone_age.parquet").is_file()):
        return tables.BOXES.read(truth), [truth]
    split_of = {"oof": "train", "test": "test"}
    files = [paths.boxes(data, run, name) for name, split in split_of.items() if (films.split == split).any()]
    return pd.concat([tables.BOXES.read(file) for file in files], ignore_index=True), files


def _cut_row(film_row: pd.Series, boxes: pd.DataFrame | None, settings: Crops) -> tuple[np.ndarray, np.ndarray | None] | str:
    """The film's crops and canvas (None for a single joint), or a sentence that explains why it has none."""
    from ra.imaging import film

    single = len(joints_of_film(film_row.part, boxes, settings)) == 1
    part_shown = film_row.laterality + film_row.part[1]
    if boxes is None or not (single or set(boxes.joint) == set(JOINTS[limb(film_row.part)])):
        return f"film {film_row.film_id} has no complete set of joint boxes; its joints stay missing"
    try:
        grey = film.load(film_row)
        if single:
            return cut_joint(grey, boxes[BOX].to_numpy(float)[0], part_shown, settings), None
        return cut_film(grey, boxes, part_shown, settings)
    except (UserError, OSError) as error:
        return f"film {film_row.film_id} cannot be used ({error}); its joints stay missing"


def worst_source(source: pd.Series) -> str:
    """The least reliable source of a film's boxes: `template` if any joint on the film was placed by it, else their source."""
    on_film = source[source != "outside"].dropna()
    return "template" if on_film.empty or (on_film == "template").any() else on_film.iloc[0]


def _sources(boxes: pd.DataFrame) -> pd.Series:
    """Box source of each joint of a film; if the whole wrist has no box, its source is derived from those of its joints."""
    source = boxes.set_index("joint").source
    if "wrist" not in source:
        wrists = source.reindex(WRISTS)
        source["wrist"] = "outside" if "outside" in set(wrists) else worst_source(wrists)
    return source


def cut_all(films: pd.DataFrame, boxes: pd.DataFrame, settings: Crops, folder: Path) -> tuple[dict, list[Path]]:
    """Cut every film into `folder`; returns counts and the files written."""
    import cv2

    cv2.setNumThreads(1)  # one thread per film, several films at a time
    boxes_of = dict(list(boxes.groupby("film_id")))
    n_joints = [len(joints_of_film(row.part, boxes_of.get(row.film_id), settings)) for row in films.itertuples()]
    n_canvases = sum(n > 1 for n in n_joints)
    rows, faults = [row for _, row in films.iterrows()], []
    with ExitStack() as stack:
        shapes = {
            "crops": (sum(n_joints), settings.out_px, settings.out_px),
            "canvases": (n_canvases, settings.canvas_px, settings.canvas_px),
        }
        arrays = {name: stack.enter_context(picture_array.writing(folder, name, shapes[name], INDEX)) for name in shapes}
        pool = stack.enter_context(ThreadPoolExecutor(cores()))
        results = pool.map(lambda row: _cut_row(row, boxes_of.get(row.film_id), settings), rows)
        for row, result in training_log.progress(zip(rows, results, strict=True), "cutting crops", total=len(rows)):
            if isinstance(result, str):
                faults.append(result)
            else:
                _add_film(arrays, row, boxes_of[row.film_id], *result, settings)
    picture_array.print_faults(faults)
    counts = {"films": len(films) - len(faults), "films_left_out": len(faults), "crops": len(arrays["crops"].index)}
    return counts, picture_array.files(folder, *shapes)


def _add_film(
    arrays: dict[str, PictureArray],
    film_row: pd.Series,
    boxes: pd.DataFrame,
    crops: np.ndarray,
    canvas: np.ndarray | None,
    settings: Crops,
) -> None:
    """Append one film's crops, without joints that lie outside the film (they get no score), and its canvas."""
    whole, source = worst_source(boxes.source), _sources(boxes)
    common = {name: film_row[name] for name in ("film_id", "patient_id", "part", "split")}
    for joint, crop in zip(joints_of_film(film_row.part, boxes, settings), crops, strict=True):
        if source[joint] != "outside":
            arrays["crops"].add(crop, **common, joint=joint, box_source=source[joint])
    if canvas is not None:
        arrays["canvases"].add(canvas, **common, joint=limb(film_row.part), box_source=whole)
