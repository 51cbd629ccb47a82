"""Cut every joint once, canonical: right parts mirrored, scaled by the hand itself, turned along the finger, greys levelled.

Writes crops.npy (uint8, memory-mappable) with crops.parquet, and canvases.npy (whole parts) with canvases.parquet, into
data/work/<set>/stage2/<run>/. A film that is missing or cannot be read has no rows, and is counted.
--boxes names a stage-1 run (its oof boxes for training films, its test boxes for test films), or `truth`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ra import cli, manifest, paths, tables, track
from ra.anatomy import HAND_JOINTS, JOINTS, limb
from ra.config import UserError
from stage2_score import config as members
from stage2_score.config import Crops

SHOWN = 5  # films left out that are named
FOOT_TILT_DEG = 16.0  # the line mtp_5 -> mtp_1 of an upright left foot rises by this (mean of 736 feet, RA2-DREAM)
WRISTS = HAND_JOINTS[10:]
INDEX = ["row", "film_id", "patient_id", "part", "joint", "split", "box_source"]

Points = dict[str, np.ndarray]  # joint -> (x, y) in canonical pixels


def film_scale(points: np.ndarray) -> float:
    """RMS distance (px) of joint centres (n, 2) from their centroid; one stray joint counts at most twice the median."""
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
    """Unit vector that shall point up in the joint's crop: along its own finger or toe, else along the part."""
    row, place = joint.split("_", 1)
    if joint == "hallux_ip":
        return _unit(points[joint] - points["mtp_1"])
    if row in {"mtp", "wrist"}:
        return part_axis(points)
    number = "1" if row == "thumb" else place
    knuckle, tip = points[f"mcp_{number}"], points["thumb_ip" if number == "1" else f"pip_{number}"]
    if row != "mcp":
        return _unit(tip - knuckle)
    root = points["wrist_mc1"] if number == "1" else np.mean([points[j] for j in WRISTS], axis=0)
    return _unit(_unit(tip - knuckle) + _unit(knuckle - root))


def side_frac(joint: str, c: Crops) -> float:
    """Side of a joint's crop in units of the film's scale."""
    return c.wrist if joint in WRISTS else c.finger if joint in HAND_JOINTS else c.toe


def level_greys(pixels: np.ndarray, points: np.ndarray, c: Crops) -> np.ndarray:
    """(256,) uint8 table that stretches the greys of the joints' surroundings, so that exposure differs less."""
    from ra.imaging import intensity

    margin = film_scale(points) * 0.4
    (x0, y0), (x1, y1) = (points.min(0) - margin).astype(int).clip(0), (points.max(0) + margin).astype(int).clip(1)
    region = pixels[y0:y1:4, x0:x1:4]
    return intensity.stretch_table(*np.percentile(region if region.size else pixels, [c.low_percentile, c.high_percentile]))


def shown(part: str, c: Crops) -> tuple[str, ...]:
    """What the crops of a part show, in order: its joints, and the wrist as one joint where whole boxes are cut."""
    return (*JOINTS[limb(part)], *(("wrist",) if c.cut == "box" and limb(part) == "hand" else ()))


def shown_on(part: str, boxes: pd.DataFrame | None, c: Crops) -> tuple[str, ...]:
    """The same of one film with its boxes: nothing without any, and one joint where a film is that joint's own picture."""
    if boxes is None:
        return ()
    return tuple(boxes.joint) if c.cut == "box" and len(boxes) == 1 else shown(part, c)


def wrist_box(boxes: np.ndarray) -> np.ndarray:
    """(x, y, w, h) of the smallest box around boxes (n, 4), each by its centre and size."""
    low, high = (boxes[:, :2] - boxes[:, 2:] / 2).min(0), (boxes[:, :2] + boxes[:, 2:] / 2).max(0)
    return np.concatenate([(low + high) / 2, high - low])


def cut_box(grey: np.ndarray, box: np.ndarray, out_px: int) -> np.ndarray:
    """A box (x, y, w, h) of a film, its longer side as wide as the crop (px, px); black beyond it and beyond the film.

    Rohrbach et al. 2019, section 3.1: 150 x 150 pixels with a black border where the aspect differs, greys as they are.
    """
    from ra.imaging import film

    centre, size, side = box[:2], np.maximum(box[2:], 1.0), max(float(box[2:].max()), 1.0)
    crop = film.crop(grey, float(centre[0]), float(centre[1]), side, out_px)
    at = ((np.arange(out_px) + 0.5) / out_px - 0.5) * side  # of the crop's pixels, from the box's centre, in film pixels
    inside = [(abs(at) <= size[k] / 2) & (at + centre[k] >= -0.5) & (at + centre[k] <= grey.shape[1 - k] - 0.5) for k in (0, 1)]
    return crop * (inside[1][:, None] & inside[0])


def cut_film(grey: np.ndarray, boxes: pd.DataFrame, part: str, c: Crops) -> tuple[np.ndarray, np.ndarray]:
    """Canonical crops (n of `shown`, px, px) and canvas (px, px) of one film.

    grey: uint8 (H, W), bones bright; boxes: the film's Boxes rows. The picture of a right part equals, pixel by pixel, that
    of the same part mirrored and called left.
    """
    from ra.imaging import film

    order = boxes.set_index("joint").loc[list(JOINTS[limb(part)])]
    xy = order[["x_px", "y_px"]].to_numpy(float)
    if part[0] == "R":
        grey = np.ascontiguousarray(grey[:, ::-1])
        xy = np.column_stack([grey.shape[1] - 1 - xy[:, 0], xy[:, 1]])
    points = dict(zip(order.index, xy, strict=True))
    scale, table = film_scale(xy), level_greys(grey, xy, c)

    def cut(centre: np.ndarray, axis: np.ndarray, size_px: float, out_px: int) -> np.ndarray:
        angle = float(np.rad2deg(np.arctan2(axis[0], -axis[1])))  # clockwise from up
        return table[film.crop(grey, float(centre[0]), float(centre[1]), size_px, out_px, angle_deg=angle)]

    if c.cut == "box":
        place = dict(zip(points, np.column_stack([xy, order[["w_px", "h_px"]].to_numpy(float)]), strict=True))
        place |= {"wrist": wrist_box(np.stack([place[j] for j in WRISTS]))} if "wrist" in shown(part, c) else {}
        crops = np.stack([cut_box(grey, place[j], c.out_px) for j in shown(part, c)])
    else:
        crops = np.stack([cut(points[j], joint_axis(j, points), side_frac(j, c) * scale, c.out_px) for j in points])
    axis = part_axis(points)
    turned = xy @ np.array([[-axis[1], axis[0]], [axis[0], axis[1]]]).T  # canvas axes: across, along
    low, high = turned.min(0), turned.max(0)
    centre = np.array([[-axis[1], axis[0]], [axis[0], axis[1]]]).T @ ((low + high) / 2)
    return crops, cut(centre, axis, float((high - low).max()) * (1 + 2 * c.canvas_margin), c.canvas_px)


def cut_joint(grey: np.ndarray, box: np.ndarray, part: str, c: Crops) -> np.ndarray:
    """Canonical crop (1, px, px) of a film that shows one joint, by its box (x, y, w, h)."""
    if part[0] == "R":
        grey, box = np.ascontiguousarray(grey[:, ::-1]), np.array([grey.shape[1] - 1 - box[0], *box[1:]])
    return cut_box(grey, box, c.out_px)[None]


def load_boxes(data: str, run: str, films: pd.DataFrame) -> tuple[pd.DataFrame, list[Path]]:
    """Boxes of every film that has them, and the files they came from.

    A bone-age set that has boxes of its own uses them whatever `run` says: nothing is scored on it, so nothing can leak.
    """
    own = paths.truth_boxes(data)
    if run == "truth" or (own.is_file() and (paths.work(data) / "bone_age.parquet").is_file()):
        return tables.BOXES.read(own), [own]
    files = [paths.boxes(data, run, split) for split, of in (("oof", "train"), ("test", "test")) if (films.split == of).any()]
    return pd.concat([tables.BOXES.read(f) for f in files], ignore_index=True), files


def _cut_row(film_row: pd.Series, boxes: pd.DataFrame | None, c: Crops) -> tuple[np.ndarray, np.ndarray | None] | str:
    """The film's crops and canvas (None of one joint), or the sentence that says why there are none."""
    from ra.imaging import film

    alone, side = len(shown_on(film_row.part, boxes, c)) == 1, film_row.laterality + film_row.part[1]
    if boxes is None or not (alone or set(boxes.joint) == set(JOINTS[limb(film_row.part)])):
        return f"film {film_row.film_id} has no complete set of joint boxes; its joints stay missing"
    try:
        grey = film.load(film_row)
        if alone:
            return cut_joint(grey, boxes[["x_px", "y_px", "w_px", "h_px"]].to_numpy(float)[0], side, c), None
        return cut_film(grey, boxes, side, c)
    except (UserError, OSError) as error:
        return f"film {film_row.film_id} cannot be used ({error}); its joints stay missing"


def worst_of(source: pd.Series) -> str:
    """Of the boxes' sources on a film: `template` if any joint there was placed by it."""
    on_film = source[source != "outside"].dropna()
    return "template" if on_film.empty or (on_film == "template").any() else on_film.iloc[0]


def cut_all(films: pd.DataFrame, boxes: pd.DataFrame, c: Crops, folder: Path) -> tuple[dict, list[Path]]:
    """Cut every film into `folder`; returns counts and the files written."""
    import cv2

    cv2.setNumThreads(1)  # one thread per film, several films at a time
    of_film = dict(list(boxes.groupby("film_id")))
    found = [len(shown_on(row.part, of_film.get(row.film_id), c)) for row in films.itertuples()]
    names = {"crops": (sum(found), c.out_px), "canvases": (sum(n > 1 for n in found), c.canvas_px)}
    arrays = {
        name: np.lib.format.open_memmap(folder / f".{name}.tmp.npy", "w+", np.uint8, (n, px, px))
        for name, (n, px) in names.items()
    }
    index: dict[str, list[dict]] = {"crops": [], "canvases": []}
    rows = [row for _, row in films.iterrows()]
    faults: list[str] = []
    with ThreadPoolExecutor(members.cores()) as pool:
        results = pool.map(lambda row: _cut_row(row, of_film.get(row.film_id), c), rows)
        for row, result in track.progress(zip(rows, results, strict=True), "cutting crops", total=len(rows)):
            if isinstance(result, str):
                faults.append(result)
                continue
            source = of_film[row.film_id].set_index("joint").source
            worst = worst_of(source)
            if "wrist" not in source:  # a crop of the whole wrist has a box of its own
                source["wrist"] = "outside" if "outside" in set(source.reindex(WRISTS)) else worst_of(source.reindex(WRISTS))
            same = {"film_id": row.film_id, "patient_id": row.patient_id, "part": row.part, "split": row.split}
            for joint, picture in zip(shown_on(row.part, of_film[row.film_id], c), result[0], strict=True):
                if source[joint] == "outside":  # a joint that is not on the film gets no score
                    continue
                arrays["crops"][len(index["crops"])] = picture
                index["crops"].append({**same, "row": len(index["crops"]), "joint": joint, "box_source": source[joint]})
            if result[1] is None:
                continue
            arrays["canvases"][len(index["canvases"])] = result[1]
            index["canvases"].append({**same, "row": len(index["canvases"]), "joint": limb(row.part), "box_source": worst})
    print(
        "\n".join(faults[:SHOWN] + [f"... and {len(faults) - SHOWN} more"] * (len(faults) > SHOWN)) or "every film cut",
        flush=True,
    )
    files = []
    for name, array in arrays.items():
        array.flush()
        (folder / f".{name}.tmp.npy").replace(folder / f"{name}.npy")
        temporary = folder / f".{name}.tmp.parquet"
        pd.DataFrame(index[name], columns=INDEX).to_parquet(temporary, index=False)
        temporary.replace(folder / f"{name}.parquet")
        files += [folder / f"{name}.npy", folder / f"{name}.parquet"]
    return {"films": len(films) - len(faults), "films_left_out": len(faults), "crops": len(index["crops"])}, files


def run() -> None:
    """Verb: cut the crops of one prepared set."""
    p = members.parser(__doc__)
    p.add_argument("--boxes", default="yolo", metavar="RUN", help="stage-1 run, or truth (default %(default)s)")
    args = p.parse_args()
    for name, c in members.load(Crops, args):
        films = tables.FILMS.read(paths.films(args.data))
        boxes, files = load_boxes(args.data, args.boxes, films)
        folder = paths.run_dir(args.data, 2, name)
        made = manifest.Run(folder, c, [paths.films(args.data), *files], args.force)
        if not made.begin():
            continue
        counts, outputs = cut_all(films, boxes, c, folder)
        if not counts["films"]:
            raise UserError(f"no film of {args.data} could be cut; see the lines above, and check --boxes {args.boxes}")
        print(
            f"{name}: {counts['crops']} crops of {counts['films']} films, {counts['films_left_out']} films left out", flush=True
        )
        made.finish(outputs, counts, boxes=args.boxes)


if __name__ == "__main__":
    cli.main(run)
