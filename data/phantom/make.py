"""Make the synthetic cohort and the growing hands of a profile.

    python -m data.phantom.make --config data/phantom/configs/demo.yaml

writes data/raw/phantom-<profile> in the RA2-DREAM layout and data/raw/boneage-<profile> in the RSNA layout, unless they
are there already with the same settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import pandas as pd

from ra import atomic, cli, config, paths

SETTINGS = "phantom.json"  # written last: the sign that a folder is whole, and with which settings
SOURCES = ("shapes", "skeleton", "damage", "projection", "style", "growth", "film", "severity", "activity", "cohort", "boneage")


def _signature(settings: object, what: str) -> dict:
    """Settings and the generator's own code: a changed generator makes the films anew."""
    here = Path(__file__).parent
    code = hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in SOURCES)).hexdigest()[:16]
    return {"what": what, "settings": config.as_dict(settings), "generator": code}


def _fresh(root: Path, signature: dict) -> bool:
    saved = root / SETTINGS
    return saved.is_file() and json.loads(saved.read_text()) == signature


def run() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="data/phantom/configs/demo.yaml", metavar="YAML", help="default %(default)s")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="override one value")
    parser.add_argument("--force", action="store_true", help="make again what is there")
    parser.add_argument("--only", choices=("cohort", "boneage"), help="make just one of the two")
    args = parser.parse_args()

    from data.phantom import cohort, growing_hands

    settings = config.load(cohort.Cohort, args.config, args.sets)
    profile = Path(args.config).stem
    films, hands = paths.raw(f"phantom-{profile}"), paths.raw(f"boneage-{profile}")
    for root, what in ((films, "cohort"), (hands, "boneage")):
        signature = _signature(settings, what)
        if args.only not in (None, what):
            continue
        if _fresh(root, signature) and not args.force:
            print(f"{root.name}: finished, skipped")
            continue
        if what == "cohort":
            cohort.write(root, settings)
            print(pd.read_csv(root / "summary.csv").to_string(index=False))
        else:
            growing_hands.write(root, settings.boneage, settings.seed + 1, max_px=900)
        atomic.write_json(root / SETTINGS, signature)
        print(f"{root.name}: made")


if __name__ == "__main__":
    cli.main(run)
