"""Correct joint boxes by hand, on a web page that only this machine can open.

    python -m stage1_detect.annotate --films DIR [--out DIR/joints.coco.json]

shows one film at a time with the detector's boxes, the lowest quality first. After every change the films that a person has
confirmed, and only those, are written as COCO for data.prepare and stage1_detect.finetune. Another call resumes where this one
stopped.
"""

from __future__ import annotations

import argparse
import threading
import webbrowser
from pathlib import Path

from ra import cli
from ra.config import UserError
from stage1_detect.config import SHIPPED


def run() -> None:
    """Serve the page until Ctrl-C."""
    args = parse()
    out = args.out or args.films / "joints.coco.json"
    if not args.films.is_dir():
        raise UserError(f"--films {args.films} is not a folder; give the folder that holds the films")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.absolute().parent} does not exist; make it first")

    from stage1_detect import model
    from stage1_detect.annotation import proposals
    from stage1_detect.annotation import server as page
    from stage1_detect.annotation.session import Session

    session = Session(args.films, out)
    detector = model.load(args.weights or SHIPPED, model.device_of(args.device))
    server = page.serve(session, proposals.rereader(detector), args.port)
    total = len(session.entries)
    print(f"{session.n_confirmed} of {total} films confirmed; boxes go to {out}\n{server.url}\nPress Ctrl-C to stop", flush=True)
    threading.Thread(target=proposals.read_waiting, args=(session, detector), daemon=True).start()
    if not args.no_browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(f"\n{session.n_confirmed} of {total} films confirmed -> {out}")
    finally:
        server.server_close()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = cli.parser(__doc__, "films", "weights", "device")
    parser.add_argument("--out", type=Path, metavar="JSON", help="COCO file to write (default: DIR/joints.coco.json)")
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address without opening a browser")
    return parser.parse_args()


if __name__ == "__main__":
    cli.main(run)
