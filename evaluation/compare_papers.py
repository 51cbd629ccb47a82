"""One table of all systems: every finished run of a set, the papers' published figures, the floors and the noise floor.

    python -m evaluation.compare_papers --data SET [--config configs/papers/comparison.yaml] [--root RAW]

Systems that score joints are measured by SC1-SC3, others by the metrics of their own papers, out of fold and on test. RAW is the
set's raw folder: gold/ holds the test patients' scores, train/ and gold/ hold those of a second reader and the truth, if there
are any. A system of the config that is not trained has a row of dashes. Prints the tables, and writes stage3/systems.csv with a
line per number.
"""

from __future__ import annotations

from pathlib import Path

from evaluation.papers.config import PaperComparison
from ra import cli, config, paths
from ra.config import UserError

CONFIG = paths.ROOT / "configs" / "papers" / "comparison.yaml"


def run() -> None:
    p = cli.parser(__doc__, "data", "config", "set", config=str(CONFIG.relative_to(paths.ROOT)))
    p.add_argument(
        "--root", type=Path, metavar="RAW", help="the set's raw folder, with gold/ and the readers (default: data/raw/SET)"
    )
    args = p.parse_args()
    wanted = config.load(PaperComparison, args.config, args.sets)
    root = args.root or paths.raw(args.data)
    if args.root and not root.is_dir():
        raise UserError(f"--root {root} is not a folder; give the raw folder from which the set was prepared")
    from evaluation.papers import table

    systems = table.gather(args.data, wanted, root)
    print(systems.text(), flush=True)
    systems.write(paths.run_dir(args.data, 3, "systems").with_suffix(".csv"))


if __name__ == "__main__":
    cli.main(run)
