"""Logging of trainings: log.csv, mirrored to Weights & Biases on request; progress as a bar or as plain lines."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Log:
    """Appends rows to log.csv, whose columns are those of the first row; wandb: also logs them to Weights & Biases."""

    def __init__(self, path: Path, wandb: bool = False, name: str = "", config: dict[str, Any] | None = None):
        self.path, self._wandb = Path(path), None
        if wandb:
            os.environ.setdefault("WANDB_MODE", "offline")
            import wandb as wandb_module

            self._wandb = wandb_module.init(project="ra-joint-damage", name=name, config=config, dir=str(self.path.parent))

    def row(self, **values: Any) -> None:
        """Append one row: column=value."""
        is_new = not self.path.is_file()
        with self.path.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(values))
            if is_new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()})
        if self._wandb:
            self._wandb.log(values)

    def close(self) -> None:
        """Finish the mirror, if there is one."""
        if self._wandb:
            self._wandb.finish()


def progress(items: Iterable[T], what: str, total: int | None = None, every_s: float = 15.0) -> Iterator[T]:
    """Pass the items through, showing progress: a bar on a terminal, elsewhere a line every `every_s` seconds."""
    total = len(items) if total is None and hasattr(items, "__len__") else total
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            left = (now - start) / (done + 1) * (total - done - 1) if total else float("nan")
            print(f"{what}: {done + 1}/{total or '?'}, {left:.0f} s left", flush=True)
