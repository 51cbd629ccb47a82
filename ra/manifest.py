"""Records of finished steps: their inputs and outputs, so that a current step is skipped and an outdated one is rebuilt.

A run of a stage keeps its record in run.json (Run); other steps use is_current and write_record. A record is written last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ra import atomic
from ra import config as config_module
from ra.config import UserError

WRITTEN_AT_START = {"config.yaml", "inputs.json", "precision.json"}
PACKAGES = ("torch", "timm", "ultralytics-opencv-headless", "lightgbm", "scikit-learn", "numpy", "pandas")


def file_hash(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file; of a run folder, that of its run.json."""
    path = Path(path)
    if path.is_dir():
        path = path / "run.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the step that writes it first (bash run_all.sh runs all in order)")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def stamp(path: str | Path) -> list[int]:
    """Size and modification time, by which a file is recognised as unchanged without reading it; zeros if it is absent."""
    try:
        status = Path(path).stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def is_current(record: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether a step is finished and current: its record has equal inputs, and every output that it lists exists unchanged."""
    if not record.is_file():
        return False
    before = json.loads(record.read_text())
    outputs = {record.parent / name: digest for name, digest in before.get("outputs", {}).items()}
    return before.get("inputs") == json.loads(json.dumps(inputs)) and all(
        path.is_file() and file_hash(path) == digest for path, digest in outputs.items()
    )


def write_record(record: Path, inputs: Mapping[str, Any], outputs: Iterable[Path] = (), **more: Any) -> None:
    """Write the record of a finished step: its inputs (hashes or settings), the hashes of its outputs, and `more`."""
    hashes = {os.path.relpath(path, record.parent): file_hash(path) for path in outputs}
    atomic.write_json(record, {"inputs": inputs, "outputs": hashes, **more})


class Run:
    """The folder of one run. Not a context manager: `begin` returns whether there is work to do, `finish` writes run.json."""

    def __init__(self, folder: Path, config: Any, inputs: Iterable[Path], force: bool = False, label: str | None = None):
        """label: what messages call the run (default: its folder's name)."""
        self.folder, self.config, self.force = Path(folder), config, force
        self.label = label or self.folder.name
        self.inputs = {self._relative(p): file_hash(p) for p in inputs}
        self.started = time.time()

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)

    def begin(self) -> bool:
        """False if the run is finished with equal config and inputs; True if it must be started or resumed.

        Raises UserError when the folder holds a run with another config. A run whose inputs changed is rebuilt.
        """
        manifest, saved = self.folder / "run.json", self.folder / "config.yaml"
        if self.force and self.folder.exists():
            shutil.rmtree(self.folder)
        differing = self._differing_keys(yaml.safe_load(saved.read_text())) if saved.is_file() else []
        if differing and self._has_results():
            raise UserError(
                f"{self.folder} holds a run made with another config (it differs in {', '.join(differing)}); delete that folder, "
                "or add --force to this step's own command, to replace it, or give the run another name"
            )
        if differing:
            shutil.rmtree(self.folder)  # also the precision that was chosen for the other config
        inputs_at_start = self.folder / "inputs.json"  # a run is resumed only with the inputs that it was started with
        if inputs_at_start.is_file() and json.loads(inputs_at_start.read_text()) != self.inputs:
            print(f"{self.label}: inputs changed; rebuilding", flush=True)
            shutil.rmtree(self.folder)
        elif manifest.is_file():
            print(f"{self.label}: finished, skipped", flush=True)
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_json(inputs_at_start, self.inputs)
        atomic.write_text(saved, yaml.safe_dump(config_module.as_dict(self.config), sort_keys=False))
        return True

    def _has_results(self) -> bool:
        """Whether the folder holds more than a run writes before its first result; a run that failed at once blocks no other."""
        return any(path.name not in WRITTEN_AT_START for path in self.folder.iterdir())

    def _differing_keys(self, saved: dict[str, Any]) -> list[str]:
        """Top-level keys in which a saved config differs; a key that it lacks, because it was added later, has its default."""
        now = config_module.as_dict(self.config)
        with contextlib.suppress(UserError):  # a key or a value that the schema no longer knows is compared as it is
            saved = config_module.as_dict(config_module.build(type(self.config), saved, "saved config"))
        return [key for key in {**now, **saved} if now.get(key) != saved.get(key)]

    def finish(self, outputs: Iterable[Path], metrics: dict[str, Any], seed: int = 0, **more: Any) -> None:
        """Write run.json, which marks the run as finished: everything else in the folder is then complete."""
        atomic.write_json(
            self.folder / "run.json",
            {
                "run": self.folder.name,
                "config_hash": config_module.digest(self.config),
                "inputs": self.inputs,
                "outputs": {self._relative(p): file_hash(p) for p in outputs},
                "seed": seed,
                "seconds": round(time.time() - self.started, 1),
                "versions": versions(),
                "metrics": metrics,
                **more,
            },
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    out = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            out[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return out
