"""The one table of systems: every finished run of a set beside the papers' own figures, the floors and the noise floor.

    python -m evaluation.compare_papers --data SET --config stage3_stack/configs/systems.yaml [--root RAW]

Systems that score joints have SC1-SC3, the others their own papers' metrics, out of fold and on test. RAW is the set's raw
folder: its gold/ has the test patients' scores, train/ and gold/ the second reader and the truth, as far as they are there. A
system of the config that is not trained has a row of dashes. Prints, and writes stage3/systems.csv, a line per number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ra import cli, config, paths
from ra.config import UserError
from stage3_stack import config as recipes

KINDS = ("joints", "ratingen", "total", "severity")


@dataclass(frozen=True)
class Group:
    """Systems of one paper that are measured alike; a run of stage 2 or of stage 3 each."""

    paper: str
    kind: Literal["joints", "ratingen", "total", "severity"]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What is claimed of a difference, pred - other, by paired bootstrap: two runs that are measured alike. `RUN/LEARNER` is
    one learner's own joints."""

    says: str
    pred: str
    other: str


@dataclass(frozen=True)
class Systems:
    """What configs/systems.yaml may say."""

    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...] = ()
    boxes: tuple[str, ...] = ()  # runs of stage 1 or 2 whose localisation is shown side by side


def run() -> None:
    p = config.parser(__doc__, str((recipes.CONFIGS / "systems.yaml").relative_to(paths.ROOT)))
    p.add_argument("--root", metavar="RAW", help="the set's raw folder, with gold/ and the readers (default: data/raw/SET)")
    args = p.parse_args()
    systems = config.load(Systems, args.config, args.sets)
    root = Path(args.root) if args.root else paths.raw(args.data)
    if args.root and not root.is_dir():
        raise UserError(f"--root {root} is no folder; give the raw folder that the set was prepared from")
    from evaluation.papers import table

    found = table.Overview.make(args.data, systems, root)
    print(found.text(), flush=True)
    found.write(paths.run_dir(args.data, 3, "systems").with_suffix(".csv"))


if __name__ == "__main__":
    cli.main(run)
