"""Facts about each film file: its hash, its size and a hash of its picture, computed by decoding it once.

data/work/.facts/SET.films.jsonl has a line per file, written as soon as the file is decoded: a killed call resumes, and a later
one decodes only what changed. Nothing of a DICOM header is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np

from ra import atomic, json_lines, manifest, paths
from ra.imaging import film
from ra.training_log import progress

VERSION = 1  # raised when the same file would give other facts
GRID = 16  # the picture's hash has GRID x GRID bits
MIN_STEP = 2  # grey levels by which a cell must be brighter than the one above it; smaller differences are noise
SAMPLED_PX = 128  # short side of the picture that is hashed


@dataclass(frozen=True)
class FileFacts:
    """sha1 of the file; size of its upright picture; picture: hash of what it shows, 64 hex digits (`picture_hash`)."""

    sha1: str
    width_px: int
    height_px: int
    picture: str


def cache_file(data: str) -> Path:
    """Where the facts of a set's files are stored."""
    return paths.work(".facts") / f"{data}.films.jsonl"


def read_all(files: Iterable[str], cache: Path) -> dict[str, FileFacts | film.FilmError]:
    """The facts of each file, or the reason why it cannot be read. All cores decode files; each holds one picture in memory."""
    files = list(dict.fromkeys(files))
    stamps = {path: manifest.stamp(path) for path in files}
    facts: dict[str, FileFacts | film.FilmError] = {
        path: cached for path, stamp, cached in _lines(cache) if stamps.get(path) == stamp
    }
    # Rewritten with the valid lines alone, so that it does not grow with every change and ends in a complete line.
    atomic.write_text(cache, "".join(_line(path, stamps[path], cached) for path, cached in facts.items()))
    changed = [path for path in files if path not in facts]
    with cache.open("a", encoding="utf-8") as stream, ThreadPool() as pool:  # the decoders release the interpreter's lock
        for path, decoded in progress(pool.imap_unordered(_decode, changed), "reading films", total=len(changed)):
            facts[path] = decoded
            if isinstance(decoded, FileFacts):
                stream.write(_line(path, stamps[path], decoded))
                stream.flush()
    return facts


def load(cache: Path) -> dict[str, FileFacts]:
    """All stored facts by path; empty when there is no such file."""
    return {path: facts for path, _, facts in _lines(cache)}


def picture_hash(grey: np.ndarray) -> str:
    """64 hex digits that stay nearly the same when a picture (H, W) is scaled, compressed or brightened a little.

    A difference hash: each bit says whether a cell of a 16 x 16 grid is brighter than the one above it, so that a flat
    background gives zeros, and mirroring reverses the bits of each row. N. Krawetz, "Kind of Like That", 2013.
    """
    step = max(1, min(grey.shape) // SAMPLED_PX)
    small = cv2.resize(np.ascontiguousarray(grey[::step, ::step]), (GRID, GRID + 1), interpolation=cv2.INTER_AREA)
    return np.packbits(np.diff(small.astype(int), axis=0) > MIN_STEP).tobytes().hex()


def bits(hashes: Iterable[str]) -> np.ndarray:
    """bool (n, 16, 16) of picture hashes."""
    packed = np.frombuffer(b"".join(map(bytes.fromhex, hashes)), np.uint8)
    return np.unpackbits(packed).reshape(-1, GRID, GRID).astype(bool)


def _decode(path: str) -> tuple[str, FileFacts | film.FilmError]:
    try:
        grey = film.read(path)
        with Path(path).open("rb") as stream:  # a second read, but from the system's cache
            sha1 = hashlib.file_digest(stream, "sha1").hexdigest()
    except film.FilmError as error:
        return path, error
    except OSError as error:
        return path, film.FilmError(f"{path} cannot be read ({error.strerror}); check the disk, and run this again")
    return path, FileFacts(sha1, grey.shape[1], grey.shape[0], picture_hash(grey))


def _line(path: str, stamp: list[int], facts: FileFacts) -> str:
    return json.dumps({"version": VERSION, "path": path, "stamp": stamp, **asdict(facts)}) + "\n"


def _lines(cache: Path) -> Iterator[tuple[str, list[int], FileFacts]]:
    """Path, stamp and facts of every line of this version."""
    for line in json_lines.read(cache):
        try:
            if line.pop("version") == VERSION:
                yield line.pop("path"), line.pop("stamp"), FileFacts(**line)
        except (KeyError, TypeError):
            continue
