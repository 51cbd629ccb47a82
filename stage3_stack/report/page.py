"""Sections -> report.html, numbers.csv and numbers.json, all of the same statistics."""

from __future__ import annotations

import base64
import math
import os
from pathlib import Path

from ra import manifest
from stage3_stack.evidence import statistic
from stage3_stack.evidence.statistic import Statistic
from stage3_stack.report.blocks import Gallery, Picture, Section, Table, Text

TEMPLATE = "page.html"
MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}
KINDS = {Text: "text", Table: "table", Picture: "picture", Gallery: "gallery"}


def write(folder: Path, title: str, sections: list[Section], facts: dict[str, str]) -> Path:
    """The three files in place, the page last; facts: name -> value lines under the title. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = statistic.table([one for section in sections for one in section.statistics()])
    _replace(folder / "numbers.csv", numbers.to_csv(index=False))
    manifest.write_json(folder / "numbers.json", [_plain(row) for row in numbers.to_dict("records")])
    page = folder / "report.html"
    _replace(page, html(title, sections, facts))
    return page


def html(title: str, sections: list[Section], facts: dict[str, str]) -> str:
    """The page as text."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    env = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    env.filters["data_url"] = data_url
    env.tests["statistic"] = lambda value: isinstance(value, Statistic)
    env.filters["kind"] = lambda block: KINDS[type(block)]
    return env.get_template(TEMPLATE).render(title=title, sections=sections, facts=facts)


def data_url(data: bytes) -> str:
    """An image within the page."""
    kind = next(name for start, name in MAGIC.items() if data.startswith(start))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _plain(row: dict) -> dict:
    """NaN, which JSON has not, as null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
