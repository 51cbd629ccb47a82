"""Files of JSON lines to which results are appended one by one, so that a killed process can resume from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


def read(path: Path) -> Iterator[dict]:
    """The mapping on every complete line; a line that a killed process left incomplete is skipped, a missing file has none."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line
