"""The films of a folder with the joints that the detector proposes and those that a person confirmed; what `annotate` shows.

On disk: the COCO file holds the confirmed films alone, since a box that nobody looked at is no truth. A journal beside it, one
JSON line per event, keeps proposals and unconfirmed changes, so that another call goes on where this one stopped.
"""

from __future__ import annotations

import json
import math
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from ra import manifest
from ra.anatomy import JOINTS, PARTS, limb
from ra.config import UserError
from ra.imaging import film
from stage1_detect.annotation import coco_file as coco

MOST_LIMBS = 4


@dataclass
class Entry:
    """One film. marked: None until the detector has read it; quality of its reading, NaN before; fault: why it is not shown."""

    path: Path
    marked: coco.Film | None = None
    quality: float = math.nan
    confirmed: bool = False
    fault: str | None = None

    @property
    def name(self) -> str | None:
        """The file's name, None for DICOM: it may hold a person's."""
        with self.path.open("rb") as file:
            return None if self.path.suffix.lower() == ".dcm" or file.read(132)[128:] == b"DICM" else self.path.name

    @property
    def state(self) -> str:
        """waiting, ready, confirmed or unreadable."""
        return "unreadable" if self.fault else "confirmed" if self.confirmed else "ready" if self.marked else "waiting"


class Corrections:
    """Entries of the films of `folder` in the order of their names; thread-safe."""

    def __init__(self, folder: Path, out: Path):
        self.out, self.journal = out, out.with_name(f".{out.name}.journal")
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        paths = [p for p in paths if film.is_named_film(p)]
        if not paths:
            raise UserError(f"--films {folder} holds no films; wanted a folder of files ending in {' '.join(film.SUFFIXES)}")
        self.entries = [Entry(path) for path in paths]
        self._lock = threading.Lock()
        self._elsewhere: dict[str, coco.Film] = {}  # confirmed films of the COCO file that are not in the folder
        self._resume()

    def _resume(self) -> None:
        """Take up the COCO file and the journal of earlier calls; of a file that has changed since, the journal is void."""
        by_name = {entry.path.name: entry for entry in self.entries}
        for line in self.journal.read_text().splitlines() if self.journal.is_file() else []:
            try:
                event = json.loads(line)
                entry = by_name[event["file"]]
                if event["stamp"] == manifest.stamp(entry.path):
                    entry.marked, entry.quality = _film(event["film"]), event.get("quality", entry.quality)
            except (ValueError, KeyError, TypeError):  # a line cut short by a kill, a film that is gone
                continue
        for name, marked in (coco.read(self.out) if self.out.is_file() else {}).items():
            if name in by_name:
                by_name[name].marked, by_name[name].confirmed = marked, True
            else:
                self._elsewhere[name] = marked

    def waiting(self) -> list[Entry]:
        """Films that nobody has read yet."""
        return [entry for entry in self.entries if entry.state == "waiting"]

    def propose(self, entry: Entry, marked: coco.Film | film.FilmError, quality: float) -> None:
        """Note what a detector makes of a film, or why it cannot be read; what a person has changed meanwhile stays."""
        with self._lock:
            if isinstance(marked, film.FilmError):
                entry.fault = str(marked).replace(str(entry.path), "the film")
            elif entry.marked is None:
                entry.marked, entry.quality = marked, round(float(quality), 4)
                self._note(entry, quality=entry.quality)

    def correct(self, number: int, limbs: list[coco.Limb], confirmed: bool) -> None:
        """Take a person's word for a film: written at once, to the COCO file when confirmed, else to the journal."""
        entry = self.entries[number]
        with self._lock:
            was, entry.confirmed = entry.confirmed, confirmed
            entry.marked.limbs = limbs
            if not confirmed:
                self._note(entry)
            if confirmed or was:
                own = {e.path.name: e.marked for e in self.entries if e.confirmed}
                coco.write(self._elsewhere | own, self.out)

    def _note(self, entry: Entry, **more: float) -> None:
        event = {"file": entry.path.name, "stamp": manifest.stamp(entry.path), "film": asdict(entry.marked), **more}
        with self.journal.open("a") as file:
            file.write(json.dumps(event) + "\n")


def limbs_of(value: Any, width_px: int, height_px: int) -> list[coco.Limb]:
    """The limbs that a page sends, checked against the film's size. ValueError says what is wrong."""
    if not isinstance(value, list) or len(value) > MOST_LIMBS:
        raise ValueError(f"limbs must be a list of at most {MOST_LIMBS}")
    limbs = [_limb(one, width_px, height_px) for one in value]
    if len({one.part for one in limbs}) < len(limbs):
        raise ValueError("a film has each part once")
    return limbs


def _limb(value: Any, width_px: int, height_px: int) -> coco.Limb:
    if not isinstance(value, dict) or value.get("part") not in PARTS:
        raise ValueError(f"a limb has a part of {' '.join(PARTS)}")
    joints, boxes = JOINTS[limb(value["part"])], value.get("boxes")
    outside, guessed = value.get("outside", []), value.get("guessed", [])
    if not isinstance(boxes, dict) or not isinstance(outside, list) or not isinstance(guessed, list):
        raise ValueError("a limb has boxes and lists of joints")
    if not all(name in joints for name in [*boxes, *outside, *guessed]) or set(boxes) & set(outside):
        raise ValueError("a joint is of its limb, and either on the film or outside")
    for name, box in boxes.items():
        numbers = isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) and math.isfinite(v) for v in box)
        if not numbers or not (0 <= box[0] < width_px and 0 <= box[1] < height_px):
            raise ValueError(f"{name}: a box is centre x, y and sides w, h, its centre on the film")
        if not (0 < box[2] <= width_px and 0 < box[3] <= height_px):
            raise ValueError(f"{name}: a box is no larger than the film")
    return coco.Limb(value["part"], boxes, list(dict.fromkeys(outside)), list(dict.fromkeys(guessed)))


def jpeg(path: Path) -> bytes:
    """The film's picture, upright and bones bright, as a browser shows it."""
    _, data = cv2.imencode(".jpg", film.read(path), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return data.tobytes()


def _film(value: dict) -> coco.Film:
    return coco.Film(value["width_px"], value["height_px"], [coco.Limb(**one) for one in value["limbs"]])
