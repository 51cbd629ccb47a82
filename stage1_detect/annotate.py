"""Correct joint boxes by hand, on a page that this machine alone can open.

    python -m stage1_detect.annotate --films DIR [--out DIR/joints.coco.json]

shows film after film with the detector's boxes on it, the least sure first. Only films that a person confirmed are written, after
every change, as COCO that data.prepare and stage1_detect.finetune read. Another call goes on where this one stopped.
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
    """The verb."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="folder of films")
    parser.add_argument("--out", type=Path, default=None, metavar="JSON", help="COCO (default: DIR/joints.coco.json)")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="detector that proposes (default: the one that ships)")
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, open nothing")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default %(default)s)")
    args = parser.parse_args()
    out = args.out or args.films / "joints.coco.json"
    if not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.absolute().parent} does not exist; make it first")

    from stage1_detect import model
    from stage1_detect.annotation import proposals
    from stage1_detect.annotation import server as page
    from stage1_detect.annotation.session import Corrections

    films = Corrections(args.films, out)
    detector = model.detector(args.weights, model.device_of(args.device))
    server = page.serve(films, proposals.rereader(detector), args.port)
    confirmed = sum(entry.confirmed for entry in films.entries)
    print(f"{confirmed} of {len(films.entries)} films confirmed; boxes go to {out}\n{server.url}\nCtrl-C ends it", flush=True)
    threading.Thread(target=proposals.read_waiting, args=(films, detector), daemon=True).start()
    if not args.no_browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        confirmed = sum(entry.confirmed for entry in films.entries)
        print(f"\n{confirmed} of {len(films.entries)} films confirmed -> {out}")
    finally:
        server.server_close()


if __name__ == "__main__":
    cli.main(run)
