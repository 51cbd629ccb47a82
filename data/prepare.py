"""Prepare a set: raw films and scores -> data/work/SET/{films,sites,boxes}.parquet, folds.csv, report.json.

  python -m data.prepare --source ra2dream --root DIR [--data SET] [--folds 5]

Only test/template.csv is copied; the films stay where they are. A second call with the same input is skipped, a killed one
resumes, and the set on disk is either complete or as it was before. If a table's column names are not the expected ones,
--column ROLE=NAME maps them: --column total=SHS_total. Unless the source's films are sure to show what their names declare,
stage 1 screens each one: which limbs it shows, side, view and rotation, and whether it can be scored at all; --trust skips that.

Warnings are printed in brief; report.json has all of them. distribution.csv compares the grades with the published ones;
contact.png shows twenty films with their boxes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from data import dicom_headers, file_cache, film_files, prepared_set, sanity_checks, screening, sources
from data.annotations import boxes
from data.issues import Report
from ra import cli, folds, manifest
from ra.config import UserError
from ra.tables import BOXES, FILMS, FOLDS

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

VERSION = 5  # raised when the same input would be prepared differently


def run() -> None:
    """Prepare the set that the command line names."""
    args = parse()
    if args.download:
        fetch(args.source, args.root)
    columns = dict(_role_and_name(item) for item in args.columns)
    options = {"columns": columns, "trust": args.trust, "strict": args.strict, "force": args.force}
    prepare(args.source, args.root, args.data or set_name(args.root), args.folds, args.seed, **options)


def parse() -> argparse.Namespace:
    """The command line."""
    p = cli.parser(__doc__, "force")
    p.add_argument("--source", required=True, choices=sorted(sources.MODULES), help="the layout of DIR")
    p.add_argument("--root", required=True, type=Path, metavar="DIR", help="the folder as downloaded or generated")
    p.add_argument("--data", metavar="SET", help="name of the prepared set: data/work/SET (default: DIR's name)")
    p.add_argument("--folds", type=int, default=3, metavar="N", help="number of patient folds (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="random seed of the folds (default %(default)s)")
    p.add_argument(
        "--column",
        dest="columns",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="the table's name for an expected column",
    )
    p.add_argument("--trust", action="store_true", help="trust what the films' names declare; do not screen the pictures")
    p.add_argument("--download", action="store_true", help="first download the published set into DIR")
    p.add_argument("--strict", action="store_true", help="treat warnings as errors")
    return p.parse_args()


def set_name(root: Path) -> str:
    """The default name of a set: the name of its folder, in characters that are safe in a path."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", root.resolve().name) or "set"


def _role_and_name(item: str) -> tuple[str, str]:
    """Role and column name in a value of --column."""
    role, equals, name = item.partition("=")
    if not (role and equals and name):
        raise UserError(f"--column {item}: write ROLE=NAME, such as total=SHS_total")
    return role, name


def fetch(source: str, root: Path) -> None:
    """Download a published set into root."""
    layout = sources.module(source)
    if not hasattr(layout, "download"):
        raise UserError(f"--download: {source} is not published for download; leave it out and give --root your copy")
    layout.download(Path(root))


def prepare(
    source: str,
    root: Path,
    data: str,
    n_folds: int = 3,
    seed: int = 0,
    *,
    columns: dict[str, str] | None = None,
    trust: bool = False,
    strict: bool = False,
    force: bool = False,
) -> None:
    """Make data/work/<data>, unless it is finished and its input is the same. UserError for input that cannot be trusted."""
    started = time.time()
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give --root the folder that holds the set")
    if n_folds < 2:
        raise UserError(f"--folds {n_folds}: at least 2 are needed")
    layout = sources.module(source)
    column_names = sources.columns(layout, columns or {})
    settings = {"source": source, "folds": n_folds, "seed": seed, "strict": strict, "trust": trust, "columns": column_names}
    inputs = {"settings": settings, "version": VERSION, **input_hashes(layout, root)}
    if not prepared_set.needs_work(data, inputs, force):
        return

    report = Report()
    tags = dicom_headers.read_all(str(path.absolute()) for path in layout.films(root))
    report.identities = dicom_headers.identities(tags)
    with prepared_set.replacing(data) as folder:
        try:
            raw = layout.read(root, report, **({"columns": column_names} if column_names else {}))
            cache = file_cache.cache_file(data)
            films = _write_films(raw, folder, cache, trust, tags, report)
            _write_tables(raw, films, folder, n_folds, seed, report)
            sanity_checks.check(folder, file_cache.load(cache), tags, report)
        except UserError as error:
            raise UserError(report.redact(str(error))) from None
        print(f"{data}: {report}", flush=True)
        if strict:
            report.refuse_faults()
        seconds = round(time.time() - started, 1)
        origin = {"source": source, "root": str(root)}
        prepared_set.finish(folder, data, origin, inputs, report, seed=seed, seconds=seconds)


def input_hashes(layout: ModuleType, root: Path) -> dict[str, str]:
    """The root, the hash of all text files that are read, and the hash of each film's name, size and time of change."""
    texts = (f"{path.relative_to(root)} {manifest.file_hash(path)}" for path in layout.texts(root))
    films = (f"{path.relative_to(root)} {manifest.stamp(path)}" for path in layout.films(root))
    return {"root": str(root.absolute()), "texts": _hash_lines(texts), "films": _hash_lines(films)}


def _hash_lines(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _write_films(raw: sources.Raw, folder: Path, cache: Path, trust: bool, tags: dict[str, Tags], report: Report) -> pd.DataFrame:
    """Write and return the films table: films screened and decoded, without those refused because of their picture or header."""
    issues_file = folder / "film_issues.parquet"
    trust = trust or raw.vouched
    rows = raw.films if trust else screening.resolve_limbs(raw.films, issues_file, report)
    if any(row["part"] is None for row in rows):
        raise UserError("--trust: the names do not declare which hand or foot these films show; leave --trust out")
    rows = dicom_headers.apply_headers(rows, tags, issues_file, trust, report)
    films = film_files.decode_all(rows, cache, report)
    if films.empty:
        first = next((texts[0] for texts in report.faults.values() if texts), "")
        raise UserError(f"none of {len(raw.films)} films can be used; the first fault: {first}")
    return FILMS.write(films, folder / "films.parquet")


def _write_tables(raw: sources.Raw, films: pd.DataFrame, folder: Path, n_folds: int, seed: int, report: Report) -> None:
    """Write folds, the source's tables, the joint boxes of the training films, and the files to be copied."""
    FOLDS.write(folds.make(raw.patients, n_folds, seed), folder / "folds.csv")
    for name, (schema, table) in raw.tables.items():
        rows = table(films) if callable(table) else table
        schema.write(rows[rows.film_id.isin(films.film_id)] if "film_id" in rows else rows, folder / name)
    if raw.boxes:
        truth = BOXES.write(boxes.read(raw.boxes, films[films.split == "train"], report), folder / "boxes.parquet")
        report.counts["boxes"] = len(truth)
    for name, path in raw.copies.items():
        shutil.copyfile(path, folder / name)


if __name__ == "__main__":
    cli.main(run)
