"""What each film's file holds: its hash, its size and a hash of its picture, found by decoding it once.

data/work/.facts/SET.films.jsonl keeps a line per file, written as it is found: a killed call goes on where it stopped, and a
later one decodes only what changed. Nothing of a DICOM header is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np

from ra import manifest, paths
from ra.imaging import film
from ra.track import progress

VERSION = 1  # raised when the same file would give other facts
GRID = 16  # the picture's hash has GRID x GRID bits
STEEP = 2  # greys by which a place must outshine the one above it; less is noise
SAMPLED_PX = 128  # short side of the picture that is hashed


@dataclass(frozen=True)
class Fact:
    """sha1 of the file; size of its upright picture; picture: hash of what it shows, 64 hex digits (`picture_hash`)."""

    sha1: str
    width_px: int
    height_px: int
    picture: str


def store(data: str) -> Path:
    """Where the facts of a set's files are kept."""
    return paths.work(".facts") / f"{data}.films.jsonl"


def gather(files: Iterable[str], kept: Path) -> dict[str, Fact | film.FilmError]:
    """The fact of each file, or why it cannot be read. Files are decoded on all cores, one picture per core in memory."""
    files = list(dict.fromkeys(files))
    stamps = {path: manifest.stamp(path) for path in files}
    known: dict[str, Fact | film.FilmError] = {path: fact for path, stamp, fact in _lines(kept) if stamps.get(path) == stamp}
    _rewrite(kept, [_line(path, stamps[path], fact) for path, fact in known.items()])
    rest = [path for path in files if path not in known]
    with kept.open("a", encoding="utf-8") as stream, ThreadPool() as pool:  # decoders let other threads run
        for path, fact in progress(pool.imap_unordered(_look, rest), "reading films", total=len(rest)):
            known[path] = fact
            if isinstance(fact, Fact):
                stream.write(_line(path, stamps[path], fact))
                stream.flush()
    return known


def load(kept: Path) -> dict[str, Fact]:
    """Every fact that is kept, by path; none when there is no such file."""
    return {path: fact for path, _, fact in _lines(kept)}


def picture_hash(grey: np.ndarray) -> str:
    """64 hex digits that a picture (H, W) keeps when it is scaled, saved with loss or lit a little otherwise.

    A difference hash: each bit says whether a place of a 16 x 16 grid is brighter than the one above it, so that a flat
    background gives zeros, and mirroring reverses the bits of each row. N. Krawetz, "Kind of Like That", 2013.
    """
    step = max(1, min(grey.shape) // SAMPLED_PX)
    small = cv2.resize(np.ascontiguousarray(grey[::step, ::step]), (GRID, GRID + 1), interpolation=cv2.INTER_AREA)
    return np.packbits(np.diff(small.astype(int), axis=0) > STEEP).tobytes().hex()


def bits(hashes: Iterable[str]) -> np.ndarray:
    """bool (n, 16, 16) of picture hashes."""
    packed = np.frombuffer(b"".join(map(bytes.fromhex, hashes)), np.uint8)
    return np.unpackbits(packed).reshape(-1, GRID, GRID).astype(bool)


def _look(path: str) -> tuple[str, Fact | film.FilmError]:
    try:
        grey = film.read(path)
        with Path(path).open("rb") as stream:  # a second time, but from the system's cache
            sha1 = hashlib.file_digest(stream, "sha1").hexdigest()
    except film.FilmError as error:
        return path, error
    except OSError as error:
        return path, film.FilmError(f"{path} cannot be read ({error.strerror}); check the disk, and run this again")
    return path, Fact(sha1, grey.shape[1], grey.shape[0], picture_hash(grey))


def _line(path: str, stamp: list[int], fact: Fact) -> str:
    return json.dumps({"version": VERSION, "path": path, "stamp": stamp, **asdict(fact)}) + "\n"


def _lines(kept: Path) -> Iterator[tuple[str, list[int], Fact]]:
    """Path, stamp and fact of every whole line; the last one of a killed call may be torn."""
    if not kept.is_file():
        return
    with kept.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            try:
                line = json.loads(text)
                if line.pop("version") == VERSION:
                    yield line.pop("path"), line.pop("stamp"), Fact(**line)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


def _rewrite(kept: Path, lines: list[str]) -> None:
    """Only what still holds, so that the file does not grow with every change and ends in a whole line."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(kept)
