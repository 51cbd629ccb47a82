"""The state of `annotate`: the films of a folder with the joints that the detector proposed and those that a person confirmed.

The COCO file holds only confirmed films, because an unchecked box is not ground truth. A journal next to it, one JSON line per
event, keeps proposals and unconfirmed changes, so that a later call can resume.
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
from stage1_detect.annotation import marked as marked_films
from stage1_detect.annotation.marked import MarkedFilm, MarkedLimb

MOST_LIMBS = 4


@dataclass
class Entry:
    """One film. marked: None until the detector has read it; quality: of that reading; fault: why the film cannot be shown."""

    path: Path
    marked: MarkedFilm | None = None
    quality: float = math.nan
    confirmed: bool = False
    fault: str | None = None

    @property
    def name(self) -> str | None:
        """The file's name; None for DICOM, where it may contain a patient's name."""
        with self.path.open("rb") as file:
            is_dicom = self.path.suffix.lower() == ".dcm" or file.read(132)[128:] == b"DICM"
        return None if is_dicom else self.path.name

    @property
    def state(self) -> str:
        """waiting (for the detector), ready, confirmed or unreadable."""
        if self.fault:
            return "unreadable"
        if self.confirmed:
            return "confirmed"
        return "ready" if self.marked else "waiting"


class Session:
    """Entries of the films of `folder`, ordered by name. Thread-safe."""

    def __init__(self, folder: Path, out: Path):
        self.out, self.journal = out, out.with_name(f".{out.name}.journal")
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        paths = [p for p in paths if film.is_named_film(p)]
        if not paths:
            raise UserError(f"--films {folder} holds no films; give a folder of files ending in {' '.join(film.SUFFIXES)}")
        self.entries = [Entry(path) for path in paths]
        self._lock = threading.Lock()
        self._elsewhere: dict[str, MarkedFilm] = {}  # confirmed films of the COCO file that are not in the folder
        self._resume()

    @property
    def n_confirmed(self) -> int:
        return sum(entry.confirmed for entry in self.entries)

    def _resume(self) -> None:
        """Load the journal and the COCO file of earlier calls; journal lines of a film that has changed since are ignored."""
        entry_of = {entry.path.name: entry for entry in self.entries}
        lines = self.journal.read_text().splitlines() if self.journal.is_file() else []
        for line in lines:
            try:
                event = json.loads(line)
                entry = entry_of[event["file"]]
                if event["stamp"] == manifest.stamp(entry.path):
                    entry.marked, entry.quality = _film(event["film"]), event.get("quality", entry.quality)
            except (ValueError, KeyError, TypeError):  # a line truncated by a kill, or a film that was deleted
                continue
        confirmed = marked_films.read(self.out) if self.out.is_file() else {}
        for name, film_marks in confirmed.items():
            if name in entry_of:
                entry_of[name].marked, entry_of[name].confirmed = film_marks, True
            else:
                self._elsewhere[name] = film_marks

    def waiting(self) -> list[Entry]:
        """Films that the detector has not read yet."""
        return [entry for entry in self.entries if entry.state == "waiting"]

    def propose(self, entry: Entry, marked: MarkedFilm | film.FilmError, quality: float) -> None:
        """Store the detector's proposal for a film, or its error. A film that a person has changed meanwhile is not touched."""
        with self._lock:
            if isinstance(marked, film.FilmError):
                entry.fault = str(marked).replace(str(entry.path), "the film")
            elif entry.marked is None:
                entry.marked, entry.quality = marked, round(float(quality), 4)
                self._record(entry, quality=entry.quality)

    def correct(self, number: int, limbs: list[MarkedLimb], confirmed: bool) -> None:
        """Store a person's correction and write it at once: to the COCO file if confirmed, else to the journal."""
        entry = self.entries[number]
        with self._lock:
            was_confirmed, entry.confirmed = entry.confirmed, confirmed
            entry.marked.limbs = limbs
            if not confirmed:
                self._record(entry)
            if confirmed or was_confirmed:
                here = {e.path.name: e.marked for e in self.entries if e.confirmed}
                marked_films.write(self._elsewhere | here, self.out)

    def _record(self, entry: Entry, **more: float) -> None:
        """Append the film's current state to the journal."""
        event = {"file": entry.path.name, "stamp": manifest.stamp(entry.path), "film": asdict(entry.marked), **more}
        with self.journal.open("a") as file:
            file.write(json.dumps(event) + "\n")


def limbs_of(value: Any, width_px: int, height_px: int) -> list[MarkedLimb]:
    """The limbs in a page's request, checked against the film's size. ValueError names the fault."""
    if not isinstance(value, list) or len(value) > MOST_LIMBS:
        raise ValueError(f"limbs must be a list of at most {MOST_LIMBS}")
    limbs = [_limb(item, width_px, height_px) for item in value]
    if len({marked.part for marked in limbs}) < len(limbs):
        raise ValueError("each part may occur only once on a film")
    return limbs


def _limb(value: Any, width_px: int, height_px: int) -> MarkedLimb:
    if not isinstance(value, dict) or value.get("part") not in PARTS:
        raise ValueError(f"part of a limb must be one of {' '.join(PARTS)}")
    joints, boxes = JOINTS[limb(value["part"])], value.get("boxes")
    outside, guessed = value.get("outside", []), value.get("guessed", [])
    if not isinstance(boxes, dict) or not isinstance(outside, list) or not isinstance(guessed, list):
        raise ValueError("boxes of a limb must be an object, outside and guessed lists of joints")
    if not all(name in joints for name in [*boxes, *outside, *guessed]) or set(boxes) & set(outside):
        raise ValueError("a joint must belong to its limb, and be either on the film or outside")
    for name, box in boxes.items():
        numbers = isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) and math.isfinite(v) for v in box)
        if not numbers or not (0 <= box[0] < width_px and 0 <= box[1] < height_px):
            raise ValueError(f"{name}: a box is centre x, y and sides w, h, with its centre on the film")
        if not (0 < box[2] <= width_px and 0 < box[3] <= height_px):
            raise ValueError(f"{name}: a box must not be larger than the film")
    return MarkedLimb(value["part"], boxes, list(dict.fromkeys(outside)), list(dict.fromkeys(guessed)))


def jpeg(path: Path) -> bytes:
    """The film as a JPEG, upright and with bright bones."""
    _, data = cv2.imencode(".jpg", film.read(path), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return data.tobytes()


def _film(value: dict) -> MarkedFilm:
    return MarkedFilm(value["width_px"], value["height_px"], [MarkedLimb(**marked) for marked in value["limbs"]])
