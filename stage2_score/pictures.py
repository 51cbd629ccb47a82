"""Cut the pictures that members see: joint crops and whole parts (kind crops), or whole films (kind whole_films).

    python -m stage2_score.pictures CONFIG.yaml|FOLDER [MORE ...] --data SET

Each run's folder data/work/SET/stage2/RUN/ gets its arrays (uint8, memory-mappable) with an index each, and, last, run.json.
Films that are missing or cannot be read are counted and named; they have no pictures.
"""

from __future__ import annotations

import pandas as pd

from ra import cli, config, manifest, paths, tables
from ra.config import UserError
from stage2_score import crops, whole_films
from stage2_score.config import PICTURES, Crops, WholeFilms, add_configs


def run() -> None:
    """Verb: cut the films of one prepared set."""
    p = cli.parser(__doc__, "data", "profile", "set", "run", "force")
    add_configs(p, PICTURES)
    args = p.parse_args()
    films = tables.FILMS.read(paths.films(args.data))
    for name, settings in config.experiments(PICTURES, args.configs, args.profile, args.sets, args.run):
        cut = cut_crops if isinstance(settings, Crops) else cut_whole_films
        cut(name, settings, args.data, films, args.force)


def cut_crops(name: str, settings: Crops, data: str, films: pd.DataFrame, force: bool) -> None:
    """Cut joint crops and whole parts by the boxes of a stage-1 run, unless the run is finished."""
    boxes, files = crops.load_boxes(data, settings.boxes, films)
    run = manifest.Run(paths.run_dir(data, 2, name), settings, [paths.films(data), *files], force)
    if not run.begin():
        return
    counts, outputs = crops.cut_all(films, boxes, settings, run.folder)
    if not counts["films"]:
        raise UserError(f"no film of {data} could be cut; see the lines above, and check boxes: {settings.boxes}")
    print(f"{name}: {counts['crops']} crops of {counts['films']} films, {counts['films_left_out']} films left out", flush=True)
    run.finish(outputs, counts, boxes=settings.boxes)


def cut_whole_films(name: str, settings: WholeFilms, data: str, films: pd.DataFrame, force: bool) -> None:
    """Cut limbs and pictures of both hands, unless the run is finished."""
    run = manifest.Run(paths.run_dir(data, 2, name), settings, [paths.films(data)], force)
    if not run.begin():
        return
    one_hand = (paths.work(data) / "bone_age.parquet").is_file()
    half_pairs = set() if one_hand else whole_films.half_pairs(films, tables.SITES.read(paths.sites(data)))
    counts, outputs = whole_films.cut_all(films, settings, run.folder, one_hand, half_pairs)
    if not counts["films"]:
        raise UserError(f"no film of {data} could be read; see the lines above")
    hands, left_out = counts["hands"], counts["films_left_out"]
    print(f"{name}: {counts['films']} films, {left_out} left out, {hands} pictures of hands", flush=True)
    run.finish(outputs, counts)


if __name__ == "__main__":
    cli.main(run)
