"""Make what stage 1 ships: starting weights and the anatomical template, from generated films alone.

    python -m data.phantom.joints --data phantom-joints --films 9000
    python -m stage1_detect.pretrain --data phantom-joints --config stage1_detect/configs/shipped.yaml

writes stage1_detect/weights/joints.safetensors and template.json (--out for another folder).
"""

from __future__ import annotations

from pathlib import Path

from ra import config, paths, track
from ra.tables import BOXES, FILMS
from stage1_detect import template
from stage1_detect.experiment import Detector


def run() -> None:
    parser = config.parser(__doc__, "stage1_detect/configs/shipped.yaml")
    parser.set_defaults(data="phantom-joints")
    parser.add_argument("--out", type=Path, default=template.FILE.parent, help="folder to write (default %(default)s)")
    args = parser.parse_args()
    settings = config.load(Detector, args.config, args.sets)
    films, boxes = FILMS.read(paths.films(args.data)), BOXES.read(paths.truth_boxes(args.data))
    shapes = template.from_boxes(films, boxes)
    template.save(shapes, args.out / "template.json")

    from stage1_detect import data, engine, model

    pictures = list(data.export(films, boxes, settings.imgsz, paths.work(args.data) / "pictures").values())
    yaml_file = data.write_yaml(paths.work(args.data) / "pretrain", pictures, pictures[:8])
    log = track.Log(paths.work(args.data) / "pretrain" / "log.csv", args.wandb, "pretrain")
    start = None if settings.start == "scratch" else model.load(settings.weights())[0]
    target, device = args.out / "joints.safetensors", model.device_of(args.device)
    loss = engine.train(settings, yaml_file, start, target, device, log.row, shapes=shapes)
    log.close()
    print(f"{len(pictures)} films, {settings.epochs} epochs, loss {loss:.3f} -> {args.out / 'joints.safetensors'}")


if __name__ == "__main__":
    config.main(run)
