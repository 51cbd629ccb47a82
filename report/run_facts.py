"""The lines under the report's title: whose films, whose readings, which run, made of what."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

from evaluation.raters import MODEL, TRUTH, Raters
from ra import paths, tables

SYNTHETIC = (
    "Synthetic data: the films of this set were generated and their readers are simulated. What is measured here shows that the "
    "software works, not how well it reads patients."
)


def notice(raters: Raters) -> str:
    """What must be known before reading on: that a set is synthetic; empty for films of people."""
    told = _json(paths.work(raters.data) / "report.json")
    generated = told.get("source") == "phantom" or (Path(told.get("root", "")) / "phantom.json").is_file()
    return SYNTHETIC if generated or TRUTH in raters.names else ""


def facts(raters: Raters) -> dict[str, str]:
    """Name -> value."""
    record = _json(paths.run_dir(raters.data, 3, raters.run) / "run.json")
    found = {
        "Set": raters.data,
        "Run": raters.run,
        "Made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "Sets of films": _by_split(raters),
        "Persons": f"{len(set(raters.person))}, {_seen_again(raters)} with more than one visit",
        "Films": _films(raters.data),
        "Readings": ", ".join(name for name in raters.names if name != MODEL) or "none",
    }
    if record.get("trained"):
        found["Trained on"] = f"{record['trained']}, and applied to this set: nothing was learned from its patients"
    if record:
        versions = record.get("versions", {})
        found["Seed and config"] = f"{record.get('seed')}, {record.get('config_hash')}"
        found["Made with"] = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "lightgbm") if name in versions)
    return found


def _by_split(raters: Raters) -> str:
    return ", ".join(f"{(raters.split == split).sum()} {name}" for split, name in (("oof", "training"), ("test", "test")))


def _seen_again(raters: Raters) -> int:
    return sum(count > 1 for count in Counter(raters.person).values())


def _films(data: str) -> str:
    path = paths.films(data)
    return str(len(tables.FILMS.read(path))) if path.is_file() else "not on disk"


def _json(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}
