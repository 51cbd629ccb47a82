"""Make the pictures of the README and of docs/, in docs/images/.

python -m docs.pictures films                    four generated films -> films.jpg
python -m docs.pictures joints FILM.jpg OUT.jpg  a film with the joints that the shipped detector detects
python -m docs.pictures annotate                 the page for correcting joint boxes, on generated films -> annotate.png
python -m docs.pictures report REPORT.html       three sections of a report -> report_{first,errors,explanations}.png
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np

from data.phantom import severity as sv
from data.phantom.damage import Damage
from data.phantom.film import draw_film
from ra import atomic, cli
from ra.config import UserError
from ra.imaging import film

IMAGES = Path(__file__).with_name("images")
HEIGHT_PX = 620  # of a film
MAX_BYTES = 400_000  # of a screenshot
# name of the picture -> section of the report at which it starts, and its height in pixels
SHOTS = {"first": ("alarms", 1320), "errors": ("errors", 980), "explanations": ("looking", 1250)}


def four_films() -> np.ndarray:
    """A healthy hand, a damaged hand, a healthy foot and a damaged foot, side by side."""
    rng = np.random.default_rng(5)
    severity = sv.severity_of(sv.grade_of(sv.latent(rng, 3.2)), rng)
    tiles = []
    for part, seed, damaged in (("LH", 9, False), ("RH", 21, True), ("LF", 4, False), ("RF", 8, True)):
        damage = Damage(*sv.damage_maps(severity, part), drift_deg=12) if damaged else None
        grey = draw_film(part, (seed, 0), damage=damage, max_px=1300).grey
        tiles.append(_tile(255 - grey if film.looks_inverted(grey) else grey))
    return cv2.hconcat(tiles)


def _tile(grey: np.ndarray) -> np.ndarray:
    factor = HEIGHT_PX / grey.shape[0]
    return cv2.resize(grey, (round(grey.shape[1] * factor), HEIGHT_PX), interpolation=cv2.INTER_AREA)


def with_joints(path: Path) -> np.ndarray:
    """The film in colour with a circle and a name per joint: green if the network detected it, orange if it did not."""
    from stage1_detect import inference, model

    grey = film.read(path)
    reading = inference.read_film(model.shipped(), grey)
    if reading is None:
        raise UserError(f"{path}: neither a hand nor a foot was detected")
    factor = HEIGHT_PX / grey.shape[0]
    picture = cv2.cvtColor(_tile(grey), cv2.COLOR_GRAY2BGR)
    for joint, point, conf in zip(reading.joints, reading.points * factor, reading.conf, strict=True):
        colour = (40, 160, 255) if np.isnan(conf) else (90, 230, 90)
        x, y = (int(v) for v in np.round(point))
        cv2.circle(picture, (x, y), 5, colour, 1, cv2.LINE_AA)
        cv2.putText(picture, joint.removeprefix("wrist_"), (x + 7, y + 3), cv2.FONT_HERSHEY_SIMPLEX, 0.32, colour, 1, cv2.LINE_AA)
    return picture


def annotate_page(out: Path) -> None:
    """Write a screenshot of the page of stage1_detect.annotate: one film of three is confirmed, a joint of the next selected."""
    from playwright.sync_api import sync_playwright

    from stage1_detect import model
    from stage1_detect.annotation import proposals, session
    from stage1_detect.annotation import server as page

    with tempfile.TemporaryDirectory() as folder:
        for seed, part in ((21, "RH"), (5, "LH"), (4, "LF")):
            grey = draw_film(part, (seed, 0), max_px=1300).grey
            cv2.imwrite(f"{folder}/P{seed:03d}-{part}.png", 255 - grey if film.looks_inverted(grey) else grey)
        films, detector = session.Corrections(Path(folder), Path(folder) / "joints.coco.json"), model.shipped()
        proposals.read_waiting(films, detector)
        first = films.entries[0]
        films.correct(0, first.marked.limbs, True)
        films.entries[1].quality = 0.0  # shown first
        server = page.serve(films, proposals.rereader(detector))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(server.url)
            tab.locator(".joint", has_text="mcp 2").or_(tab.locator(".joint", has_text="mtp 2")).click()
            tab.wait_for_timeout(1000)
            screenshot = _decoded(tab.screenshot())
            browser.close()
        server.shutdown()
        server.server_close()
    small = cv2.resize(screenshot, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    atomic.write_bytes(out, _png(small, 200))


def report_pages(path: Path) -> list[Path]:
    """Write screenshots of a report, 1280 px wide, one for each of SHOTS; returns their paths."""
    from playwright.sync_api import sync_playwright

    if not path.is_file():
        raise UserError(f"{path} does not exist; python -m report writes it")
    written = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (section, height) in SHOTS.items():
            tab = browser.new_page(viewport={"width": 1280, "height": height}, reduced_motion="reduce")
            tab.goto(path.resolve().as_uri())
            if section != "alarms":  # that picture starts with the page's title
                tab.evaluate("(id) => document.getElementById(id).scrollIntoView()", section)
            tab.wait_for_timeout(1000)  # pictures are decoded as they come into view
            written.append(IMAGES / f"report_{name}.png")
            atomic.write_bytes(written[-1], _small_png(_decoded(tab.screenshot())))
            tab.close()
        browser.close()
    return written


def _decoded(file: bytes) -> np.ndarray:
    """The pixels of an image file, BGR."""
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)


def _small_png(picture: np.ndarray) -> bytes:
    """A PNG of as many colours as MAX_BYTES allow."""
    for colours in (200, 96, 48, 24):
        file = _png(picture, colours)
        if len(file) <= MAX_BYTES:
            break
    return file


def _png(picture: np.ndarray, colours: int) -> bytes:
    """A PNG of few colours."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    image.quantize(colours, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def run() -> None:
    p = cli.parser(__doc__)
    commands = p.add_subparsers(dest="what", required=True, metavar="films | joints | annotate | report")
    commands.add_parser("films")
    joints = commands.add_parser("joints")
    joints.add_argument("film", type=Path, metavar="FILM.jpg")
    joints.add_argument("out", type=Path, metavar="OUT.jpg")
    commands.add_parser("annotate")
    commands.add_parser("report").add_argument("page", type=Path, metavar="REPORT.html")
    args = p.parse_args()
    if args.what == "films":
        print(_write_jpeg(IMAGES / "films.jpg", four_films()))
    elif args.what == "joints":
        print(_write_jpeg(args.out, with_joints(args.film)))
    elif args.what == "annotate":
        annotate_page(IMAGES / "annotate.png")
    else:
        print(*report_pages(args.page), sep="\n")


def _write_jpeg(path: Path, picture: np.ndarray) -> Path:
    atomic.write_bytes(path, cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
    return path


if __name__ == "__main__":
    cli.main(run)
