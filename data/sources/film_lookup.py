"""Look up the films that a table's cells name: with or without folders, with or without suffix, with either slash."""

from __future__ import annotations

from pathlib import Path

from data.csv_input import shown
from ra import film_names
from ra.config import UserError
from ra.imaging import film


class FilmLookup:
    """Files below a root, by every name that a cell may use for them."""

    def __init__(self, files: list[Path], root: Path):
        self.root = root
        self.by_name: dict[str, list[Path]] = {}
        self.by_part: dict[tuple[str, str], list[Path]] = {}  # (name without the part, part) of files that declare a part
        for file in files:
            for name in _names(file.relative_to(root)):
                self.by_name.setdefault(name, []).append(file)
                stem, part = film_names.split(name)
                if part:
                    self.by_part.setdefault((stem, part), []).append(file)

    def find(self, cell: str) -> Path | None:
        """The file that the cell names, None if there is none; UserError if there are several."""
        return self._only(cell, self.by_name.get(plain(cell), []))

    def find_part(self, cell: str, part: str) -> Path | None:
        """The file that the cell names together with a part: a_1-LH.png for the cell a_1. None and UserError as in find."""
        return self._only(cell, self.by_part.get((plain(cell), part), []))

    def _only(self, cell: str, files: list[Path]) -> Path | None:
        if len(files) > 1:
            first_two = " and ".join(file.relative_to(self.root).as_posix() for file in files[:2])
            raise UserError(f"{shown(cell)} may be {first_two}; write it with its folder and suffix")
        return files[0] if files else None


def plain(cell: str) -> str:
    """A path from a table, with forward slashes and a film's suffix in lower case."""
    cell = cell.replace("\\", "/").removeprefix("./")
    suffix = Path(cell).suffix
    return cell.removesuffix(suffix) + suffix.lower() if suffix.lower() in film.SUFFIXES else cell


def _names(file: Path) -> list[str]:
    """A file's name with any of its folders, each with and without the suffix."""
    whole = plain(file.as_posix())
    pieces = [whole, *(whole.split("/", i)[-1] for i in range(1, whole.count("/") + 1))]
    return [name for piece in pieces for name in (piece, piece[: -len(file.suffix)])]
