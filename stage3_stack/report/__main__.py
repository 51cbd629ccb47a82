"""The report of a finished run: one HTML file that opens anywhere, and its numbers as CSV and JSON.

    python -m stage3_stack.report --data SET --run RUN

Reads what is on disk (the run, its reading with intervals, its members, what stage 1 and stage 2 left to look at) and writes
data/work/SET/stage3/RUN/report/{report.html, numbers.csv, numbers.json}.
"""

from __future__ import annotations

from ra import config, manifest, paths
from stage3_stack import recipe as recipes


def run() -> None:
    p = recipes.parser(__doc__)
    args = p.parse_args()
    name = recipes.run_name(args)
    manifest.file_hash(paths.run_dir(args.data, 3, name))  # a UserError when the run is not finished
    from stage3_stack.evidence import raters
    from stage3_stack.report import page, sections

    known = raters.load(args.data, name)
    made = page.write(paths.report(args.data, name), f"{args.data}: joint damage, read and measured", sections.make(known), {})
    print(f"{made}: {made.stat().st_size / 2**20:.1f} MB", flush=True)


if __name__ == "__main__":
    config.main(run)
