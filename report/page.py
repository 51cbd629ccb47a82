"""Write sections as report.html, numbers.csv and numbers.json, all from the same statistics."""

from __future__ import annotations

import base64
import io
import math
from functools import cache
from pathlib import Path

from evaluation import statistic
from evaluation.statistic import Statistic
from ra import atomic
from report.blocks import Alarms, Gallery, Picture, Section, Table, Text

TEMPLATES = Path(__file__).parent
IMAGE_STARTS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}  # a file's first bytes -> its type
BLOCK_KINDS = {Text: "text", Table: "table", Picture: "picture", Gallery: "gallery", Alarms: "alarms"}
CSS_PX_PER_INCH = 104  # a figure of 7 inches fills the column, a little larger than on paper
TILE_PX = (104, 320)  # smallest and largest width of a gallery's picture


def write(
    folder: Path,
    title: str,
    sections: list[Section],
    facts: dict[str, str],
    *,
    notice: str = "",
    command: str = "",
    stem: str = "report",
) -> Path:
    """Write the three files, the page last; return the page's path.

    facts: name -> value, listed under the title; notice: a warning above them; command: the command that writes the page again;
    stem: the page's file name without .html.
    """
    numbers = statistic.table([number for section in sections for number in section.statistics()])
    text = html(title, sections, facts, notice=notice, command=command)
    atomic.write_table(folder / "numbers.csv", numbers)
    atomic.write_json(folder / "numbers.json", [_nan_as_none(row) for row in numbers.to_dict("records")])
    path = folder / f"{stem}.html"
    atomic.write_text(path, text)
    return path


def html(title: str, sections: list[Section], facts: dict[str, str], *, notice: str = "", command: str = "") -> str:
    """The page as text; style sheet, script and images are inside it."""
    import jinja2
    from markupsafe import Markup

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters |= {"data_url": data_url, "kind": lambda block: BLOCK_KINDS[type(block)], "number": _number_html}
    env.tests["statistic"] = lambda value: isinstance(value, Statistic)
    env.globals |= {"size_px": size_px, "tile_px": tile_px, "titles": {section.id: section.title for section in sections}}
    return env.get_template("page.html").render(
        title=title,
        sections=sections,
        facts=facts,
        notice=notice,
        command=command,
        style=Markup((TEMPLATES / "page.css").read_text()),
        script=Markup((TEMPLATES / "page.js").read_text()),
    )


def data_url(data: bytes) -> str:
    """A URL that contains the image itself, which must be of a type in IMAGE_STARTS."""
    kind = next(name for start, name in IMAGE_STARTS.items() if data.startswith(start))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@cache
def size_px(data: bytes) -> tuple[int, int] | None:
    """Width and height of an image on the screen, in CSS pixels; None if the bytes are not a readable image.

    A PNG with a stored resolution, such as a figure, is shown at its size in inches; any other image has one CSS pixel per pixel.
    """
    from PIL import Image, UnidentifiedImageError

    if not data.startswith(tuple(IMAGE_STARTS)):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=list(IMAGE_STARTS.values())) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError):
        return None
    scale = CSS_PX_PER_INCH / image.info["dpi"][0] if image.format == "PNG" and "dpi" in image.info else 1.0
    return round(image.width * scale), round(image.height * scale)


def tile_px(data: bytes) -> int:
    """Width of a gallery's picture in CSS pixels: half of its pixels, so that it is sharp on a screen of double resolution."""
    width, _ = size_px(data) or (0, 0)
    return min(max(width // 2, TILE_PX[0]), TILE_PX[1])


def _number_html(number: Statistic) -> str:
    """A statistic's text as markup in which the interval is paler than the value."""
    from markupsafe import Markup, escape

    value, bracket, interval = number.text.partition(" (")
    return Markup("{} <span class=interval>({}</span>").format(value, interval) if bracket else escape(value)


def _nan_as_none(row: dict) -> dict:
    """The row with NaN, which JSON does not have, as null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
