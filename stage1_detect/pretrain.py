"""Make what stage 1 ships: starting weights and the anatomical template, from generated films alone.

    python -m data.phantom.detector_films --data phantom-joints --films 9000
    python -m stage1_detect.pretrain --data phantom-joints --config stage1_detect/configs/shipped.yaml

writes stage1_detect/weights/joints.safetensors and template.json (--out for another folder).
"""

from __future__ import annotations

from pathlib import Path

from ra import cli, config, paths, track
from ra.tables import BOXES, FILMS
from stage1_detect import shape_model
from stage1_detect.config import Detector


def run() -> None:
    parser = config.parser(__doc__, "stage1_detect/configs/shipped.yaml")
    parser.set_defaults(data="phantom-joints")
    parser.add_argument("--out", type=Path, default=shape_model.FILE.parent, help="folder to write (default %(default)s)")
    args = parser.parse_args()
    settings = config.load(Detector, args.config, args.sets)
    films, boxes = FILMS.read(paths.films(args.data)), BOXES.read(paths.truth_boxes(args.data))
    shapes = shape_model.from_boxes(films, boxes)
    shape_model.save(shapes, args.out / "template.json")

    from stage1_detect import dataset, model, trainer

    pictures = list(dataset.export(films, boxes, settings.imgsz, paths.work(args.data) / "pictures").values())
    yaml_file = dataset.write_yaml(paths.work(args.data) / "pretrain", pictures, pictures[:8])
    log = track.Log(paths.work(args.data) / "pretrain" / "log.csv", args.wandb, "pretrain")
    start = None if settings.start == "scratch" else model.load(settings.weights())[0]
    target, device = args.out / "joints.safetensors", model.device_of(args.device)
    loss = trainer.train(settings, yaml_file, start, target, device, log.row, shapes=shapes)
    log.close()
    print(f"{len(pictures)} films, {settings.epochs} epochs, loss {loss:.3f} -> {args.out / 'joints.safetensors'}")


if __name__ == "__main__":
    cli.main(run)
