"""Prepare a set: raw films and scores -> data/work/SET/{films,sites,boxes}.parquet, folds.csv, report.json.

  python -m data.prepare --source ra2dream --root DIR [--data SET] [--folds 5]

Nothing is copied but test/template.csv; the films stay where they are. A second call with the same input is skipped, a killed one
goes on where it stopped, and the set on disk is either whole or as it was before. Where names are the user's own, --column
ROLE=NAME gives them: --column total=SHS_total. Unless the source vouches for its films, each is looked at: its side, view and
turn, how many limbs it holds, whether it can be scored at all; --trust leaves that out.

What was found is printed, and is whole in report.json; distribution.csv has the grades beside the published ones, contact.png
twenty films with their boxes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from data import annotations, dicom_headers, file_cache, film_files, sanity_checks, screening, sources
from data.issues import Report
from ra import atomic, cli, folds, manifest, paths
from ra.config import UserError
from ra.tables import BOXES, FILMS, FOLDS

if TYPE_CHECKING:
    from ra.imaging.dicom import Tags

VERSION = 4  # raised when the same input would be prepared differently
RUN, REPORT = "run.json", "report.json"


def run() -> None:
    """The verb."""
    args = parse()
    if args.download:
        fetch(args.source, args.root)
    columns = dict(_pair(item) for item in args.columns)
    options = {"columns": columns, "trust": args.trust, "strict": args.strict, "force": args.force}
    prepare(args.source, args.root, args.data or named_after(args.root), args.folds, args.seed, **options)


def parse() -> argparse.Namespace:
    """The flags."""
    p = argparse.ArgumentParser(
        prog="python -m data.prepare",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--source", required=True, choices=sorted(sources.MODULES), help="the layout of DIR")
    p.add_argument("--root", required=True, type=Path, metavar="DIR", help="the folder as downloaded or generated")
    p.add_argument("--data", metavar="SET", help="name of the prepared set: data/work/SET (default: DIR's name)")
    p.add_argument("--folds", type=int, default=3, metavar="N", help="patient folds (default %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="of the folds (default %(default)s)")
    p.add_argument("--column", dest="columns", action="append", default=[], metavar="ROLE=NAME", help="your name of a column")
    p.add_argument("--trust", action="store_true", help="films are what their names say: do not look at the pictures")
    p.add_argument("--download", action="store_true", help="first fetch the set into DIR from where it is published")
    p.add_argument("--strict", action="store_true", help="take warnings for errors")
    p.add_argument("--force", action="store_true", help="make again what is already finished")
    return p.parse_args()


def named_after(root: Path) -> str:
    """A set's name from its folder's."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", root.resolve().name) or "set"


def _pair(item: str) -> tuple[str, str]:
    """Role and name of --column."""
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
    """Make data/work/<data>, unless it is finished and was made of the same. UserError for input that cannot be trusted."""
    started = time.time()
    root, target = Path(root), paths.work(data)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give --root the folder that holds the set")
    if n_folds < 2:
        raise UserError(f"--folds {n_folds}: at least 2 are needed")
    layout = sources.module(source)
    named = sources.columns(layout, columns or {})
    inputs = digest(layout, root, [source, n_folds, seed, strict, trust, *sorted(named.items()), VERSION])
    before = made_of(target)
    if before == inputs and not force:
        print(f"{data}: prepared, skipped", flush=True)
        return
    if before:
        print(f"{data}: its inputs have changed, making it anew", flush=True)

    report = Report()
    tags = dicom_headers.read_all(str(path.absolute()) for path in layout.films(root))
    report.identities = dicom_headers.identities(tags)
    with replacing(target) as folder:
        try:
            raw = layout.read(root, report, **({"columns": named} if named else {}))
            _write(raw, folder, file_cache.store(data), n_folds, seed, trust, tags, report)
            sanity_checks.check(folder, file_cache.load(file_cache.store(data)), tags, report)
        except UserError as error:
            raise UserError(report.clean(str(error))) from None
        print(f"{data}: {report}", flush=True)
        if strict:
            report.refuse_faults()
        atomic.write_json(folder / REPORT, {"set": data, "source": source, "root": str(root), **report.as_dict()})
        finish(folder, data, inputs, seed, started, report)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A folder to make a set in, which becomes `target` when the block ends without an error.

    Runs made from an older set stay: their own manifests tell that they are outdated. Killed at any point, the set is the old
    one, the new one, or, for the moment between two renames, away until the next call puts it back.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    _finish_replacing(target)
    for stale in target.parent.glob(f".{target.name}.[0-9]*.tmp"):  # of a killed call
        shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if target.exists():
            target.replace(_old(target))
        temporary.replace(target)
        _finish_replacing(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _old(target: Path) -> Path:
    """Where a set waits while it is replaced."""
    return target.with_name(f".{target.name}.old")


def _finish_replacing(target: Path) -> None:
    """Give the runs of a replaced set to the one in its place, or the place back to it, and clear it away."""
    old = _old(target)
    if old.exists() and not target.exists():
        old.replace(target)
    if old.exists():
        for run_folder in (path for path in old.iterdir() if path.is_dir() and not (target / path.name).exists()):
            run_folder.replace(target / run_folder.name)
        shutil.rmtree(old)


def finish(folder: Path, data: str, inputs: str, seed: int, started: float, report: Report) -> None:
    """run.json: what the set was made of, the hash of everything that is in it, and the report's counts."""
    made = {path.name: manifest.file_hash(path) for path in sorted(folder.iterdir())}
    record = {"run": data, "inputs": inputs, "outputs": made, "seed": seed, "seconds": round(time.time() - started, 1)}
    atomic.write_json(folder / RUN, record | {"versions": manifest.versions(), "counts": report.counts})


def digest(layout: ModuleType, root: Path, settings: list) -> str:
    """Hash of the settings, of every text that is read, and of each film's name, size and time of change."""
    total = hashlib.sha256(json.dumps([str(root.absolute()), *settings]).encode())
    for path in layout.texts(root):
        total.update(f"{path.relative_to(root)} {manifest.file_hash(path)}\n".encode())
    for path in layout.films(root):
        stat = path.stat()
        total.update(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]


def made_of(target: Path) -> str | None:
    """The digest that a finished set was made of; puts a set in place whose replacing was killed."""
    _finish_replacing(target)
    record = target / RUN
    return json.loads(record.read_text())["inputs"] if record.is_file() else None


def _write(
    raw: sources.Raw, folder: Path, kept: Path, n_folds: int, seed: int, trust: bool, tags: dict[str, Tags], report: Report
) -> None:
    """Write every table into the folder."""
    table = _films(raw, folder, kept, trust, tags, report)
    FOLDS.write(folds.make(raw.patients, n_folds, seed), folder / "folds.csv")
    for name, (schema, made) in raw.tables.items():
        rows = made(table) if callable(made) else made
        schema.write(rows[rows.film_id.isin(table.film_id)] if "film_id" in rows else rows, folder / name)
    if raw.boxes:
        truth = BOXES.write(annotations.read(raw.boxes, table[table.split == "train"], report), folder / "boxes.parquet")
        report.counts["boxes"] = len(truth)
    for name, path in raw.copies.items():
        shutil.copyfile(path, folder / name)


def _films(raw: sources.Raw, folder: Path, kept: Path, trust: bool, tags: dict[str, Tags], report: Report) -> pd.DataFrame:
    """The films table, written: looked at, decoded, refused by the gate where picture or header say so."""
    gate = folder / "film_issues.parquet"
    trust = trust or raw.vouched
    rows = raw.films if trust else screening.settle(raw.films, gate, report)
    if any(row["part"] is None for row in rows):
        raise UserError("--trust: nothing but the pictures tells which hand or foot these films show; leave --trust out")
    rows = dicom_headers.settle(rows, tags, gate, trust, report)
    table = film_files.decode_all(rows, kept, report)
    if table.empty:
        first = next((texts[0] for texts in report.faults.values() if texts), "")
        raise UserError(f"none of {len(raw.films)} films can be used; the first fault: {first}")
    return FILMS.write(table, folder / "films.parquet")


if __name__ == "__main__":
    cli.main(run)
