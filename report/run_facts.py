"""The facts under the report's title: set, run, number of patients and films, readers, versions."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

from evaluation.raters import MODEL, TRUTH, Raters
from ra import paths, tables

SYNTHETIC = (
    "Synthetic data: the films of this set were generated and their readers are simulated. The results show that the software "
    "works, not how well it scores patients."
)
READER_LABELS = {TRUTH: "simulated true grades"}


def notice(raters: Raters) -> str:
    """The warning that a set is synthetic; empty for films of patients."""
    record = _json(paths.work(raters.data) / "report.json")
    generated = record.get("source") == "phantom" or (Path(record.get("root", "")) / "phantom.json").is_file()
    return SYNTHETIC if generated or TRUTH in raters.names else ""


def facts(raters: Raters) -> dict[str, str]:
    """Name -> value of each fact."""
    record = _json(paths.run_dir(raters.data, 3, raters.run) / "run.json")
    out = {
        "Set": raters.data,
        "Run": raters.run,
        "Date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "Sets of films": _count_by_split(raters),
        "Persons": f"{len(set(raters.person))}, {_persons_with_several_visits(raters)} with more than one visit",
        "Films": _count_films(raters.data),
        "Readers": ", ".join(READER_LABELS.get(name, name) for name in raters.names if name != MODEL) or "none",
    }
    if record.get("trained"):
        out["Trained on"] = f"{record['trained']}, and applied to this set, whose patients were not used for training"
    if record:
        versions = record.get("versions", {})
        out["Seed and config"] = f"{record.get('seed')}, {record.get('config_hash')}"
        out["Versions"] = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "lightgbm") if name in versions)
    return out


def _count_by_split(raters: Raters) -> str:
    return ", ".join(f"{(raters.split == split).sum()} {name}" for split, name in (("oof", "training"), ("test", "test")))


def _persons_with_several_visits(raters: Raters) -> int:
    return sum(count > 1 for count in Counter(raters.person).values())


def _count_films(data: str) -> str:
    path = paths.films(data)
    return str(len(tables.FILMS.read(path))) if path.is_file() else "not on disk"


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}
