"""Make the synthetic cohort and the growing hands of a profile.

    python -m data.phantom.make --config configs/phantom/cohort.yaml --profile demo

writes data/raw/phantom-<profile> in the RA2-DREAM layout and data/raw/boneage-<profile> in the RSNA layout, unless they exist
with the same settings. With another config, such as configs/phantom/fresh.yaml, the folders are phantom-fresh and boneage-fresh.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ra import cli, config, manifest, paths

if TYPE_CHECKING:
    from data.phantom.cohort import Cohort

RECORD = "phantom.json"  # written last, so that it shows that the folder is complete, and the settings that it was made with
DEFAULT = "cohort"  # the experiment whose folders are named after the profile; others are named after their config
# The modules that determine a film or a score: when one of them changes, the films are made again.
GENERATOR = (
    "shapes", "skeleton", "damage", "projection", "style", "growth", "film", "severity", "disease_activity", "cohort",
    "growing_hands",
)  # fmt: skip


def run() -> None:
    """Make the folders of every experiment in the config."""
    p = cli.parser(__doc__, "config", "profile", "set", "force", config="configs/phantom/cohort.yaml")
    p.add_argument("--only", choices=("cohort", "boneage"), help="make only one of the two")
    args = p.parse_args()

    from data.phantom.cohort import Cohort

    for name, settings in config.experiments({"cohort": Cohort}, [args.config], args.profile, args.sets):
        suffix = args.profile if name == DEFAULT else name
        for content, folder in (("cohort", f"phantom-{suffix}"), ("boneage", f"boneage-{suffix}")):
            if args.only in (None, content):
                make(paths.raw(folder), content, settings, args.force)


def make(root: Path, content: str, settings: Cohort, force: bool) -> None:
    """Make one folder, unless it is finished and its settings and the generator are the same. content: cohort or boneage."""
    from data.phantom import cohort, growing_hands

    inputs = {"content": content, "settings": config.as_dict(settings), "generator": generator_hash()}
    if not force and manifest.is_current(root / RECORD, inputs):
        print(f"{root.name}: finished, skipped", flush=True)
        return
    if content == "cohort":
        cohort.write(root, settings)
        print(pd.read_csv(root / "summary.csv").to_string(index=False))
    else:
        growing_hands.write(root, settings.boneage, settings.seed + 1, max_px=900)
    manifest.write_record(root / RECORD, inputs)  # the films are not hashed: the folder was moved into place as a whole
    print(f"{root.name}: made", flush=True)


def generator_hash() -> str:
    """Hash of the generator's source code: of comments and docstrings too."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in GENERATOR)).hexdigest()[:16]


if __name__ == "__main__":
    cli.main(run)
