"""Sections -> report.html, numbers.csv and numbers.json, all of the same statistics."""

from __future__ import annotations

import base64
import io
import math
import os
from functools import cache
from pathlib import Path

from evaluation import statistic
from evaluation.statistic import Statistic
from ra import atomic
from report.blocks import Alarms, Gallery, Picture, Section, Table, Text

HERE = Path(__file__).parent
MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}
KINDS = {Text: "text", Table: "table", Picture: "picture", Gallery: "gallery", Alarms: "alarms"}
CSS_PX_PER_INCH = 104  # a figure of 7 inches fills the column, a little larger than on paper
TILE_PX = (104, 320)  # least and greatest width of a gallery's picture


def write(
    folder: Path,
    title: str,
    sections: list[Section],
    facts: dict[str, str],
    *,
    notice: str = "",
    command: str = "",
    page: str = "report",
) -> Path:
    """The three files in place, the page last; returns its path. facts: name -> value under the title; notice: what must be known
    before reading on; command: what makes the page anew; page: its name without .html."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = statistic.table([one for section in sections for one in section.statistics()])
    text = html(title, sections, facts, notice=notice, command=command)
    _replace(folder / "numbers.csv", numbers.to_csv(index=False))
    atomic.write_json(folder / "numbers.json", [_plain(row) for row in numbers.to_dict("records")])
    made = folder / f"{page}.html"
    _replace(made, text)
    return made


def html(title: str, sections: list[Section], facts: dict[str, str], *, notice: str = "", command: str = "") -> str:
    """The page as text."""
    import jinja2
    from markupsafe import Markup

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters |= {"data_url": data_url, "kind": lambda block: KINDS[type(block)], "shown": _shown}
    env.tests["statistic"] = lambda value: isinstance(value, Statistic)
    env.globals |= {"size_px": size_px, "tile_px": tile_px, "titles": {section.id: section.title for section in sections}}
    own = {name: Markup((HERE / f"page.{kind}").read_text()) for name, kind in (("style", "css"), ("script", "js"))}
    return env.get_template("page.html").render(
        title=title, sections=sections, facts=facts, notice=notice, command=command, **own
    )


def data_url(data: bytes) -> str:
    """An image within the page, of one of MAGIC's kinds."""
    kind = next(name for start, name in MAGIC.items() if data.startswith(start))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@cache
def size_px(data: bytes) -> tuple[int, int] | None:
    """Width and height on the screen: by its resolution where the image tells one, as a figure does, else by its pixels; None of
    what is not an image, which the page then names."""
    from PIL import Image, UnidentifiedImageError

    if not data.startswith(tuple(MAGIC)):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=list(MAGIC.values())) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    scale = CSS_PX_PER_INCH / image.info["dpi"][0] if image.format == "PNG" and "dpi" in image.info else 1.0
    return round(image.width * scale), round(image.height * scale)


def tile_px(data: bytes) -> int:
    """Width of a gallery's picture on the screen: half its pixels, for sharp screens."""
    width, _ = size_px(data) or (0, 0)
    return min(max(width // 2, TILE_PX[0]), TILE_PX[1])


def _shown(one: Statistic) -> str:
    """Its text, the interval paler than the number."""
    from markupsafe import Markup, escape

    value, bracket, interval = one.text.partition(" (")
    return Markup("{} <span class=interval>({}</span>").format(value, interval) if bracket else escape(value)


def _plain(row: dict) -> dict:
    """NaN, which JSON has not, as null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
