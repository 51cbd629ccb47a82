"""The README's pictures.

python -m docs.pictures films                    four generated films -> docs/films.jpg
python -m docs.pictures joints FILM.jpg OUT.jpg  a film with the joints that the shipped detector finds
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from data.phantom import severity as sv
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from ra import config, film

HEIGHT_PX = 620


def four_films() -> np.ndarray:
    """A healthy hand, a damaged one, a healthy foot and a damaged one, side by side."""
    rng = np.random.default_rng(5)
    severity = sv.severity_of(sv.grade_of(sv.latent(rng, 3.2)), rng)
    tiles = []
    for part, seed, hurt in (("LH", 9, False), ("RH", 21, True), ("LF", 4, False), ("RF", 8, True)):
        damage = Damage(*sv.damage_maps(severity, part), drift_deg=12) if hurt else None
        grey = draw_film(part, (seed, 0), damage=damage, max_px=1300).grey
        tiles.append(_tile(255 - grey if film.looks_inverted(grey) else grey))
    return cv2.hconcat(tiles)


def _tile(grey: np.ndarray) -> np.ndarray:
    factor = HEIGHT_PX / grey.shape[0]
    return cv2.resize(grey, (round(grey.shape[1] * factor), HEIGHT_PX), interpolation=cv2.INTER_AREA)


def with_joints(path: Path) -> np.ndarray:
    """The film in colour with a circle and a name per joint: green where the network saw it, orange where the template put it."""
    from stage1_detect import detect, model

    grey = film.read(path)
    reading = detect.read_film(model.shipped(), grey)
    if reading is None:
        raise config.UserError(f"{path}: neither a hand nor a foot was found")
    factor = HEIGHT_PX / grey.shape[0]
    picture = cv2.cvtColor(_tile(grey), cv2.COLOR_GRAY2BGR)
    for joint, point, conf in zip(reading.joints, reading.points * factor, reading.conf, strict=True):
        colour = (40, 160, 255) if np.isnan(conf) else (90, 230, 90)
        x, y = (int(v) for v in np.round(point))
        cv2.circle(picture, (x, y), 5, colour, 1, cv2.LINE_AA)
        cv2.putText(picture, joint.removeprefix("wrist_"), (x + 7, y + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, 1, cv2.LINE_AA)
    return picture


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("films", "joints"))
    parser.add_argument("film", nargs="?", type=Path)
    parser.add_argument("out", nargs="?", type=Path)
    args = parser.parse_args()
    if args.what == "films":
        out, picture = Path(__file__).with_name("films.jpg"), four_films()
    else:
        out, picture = args.out, with_joints(args.film)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(out)


if __name__ == "__main__":
    config.main(run)
