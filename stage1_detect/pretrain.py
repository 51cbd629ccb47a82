"""Make the starting weights and the shape model that ship with stage 1, from generated films only.

    python -m data.phantom.detector_films --data phantom-joints --films 9000
    python -m stage1_detect.pretrain --data phantom-joints --config configs/detect/shipped.yaml

writes stage1_detect/weights/joints.safetensors and template.json (--out for another folder).
"""

from __future__ import annotations

from pathlib import Path

from ra import cli, config, paths, training_log
from ra.tables import BOXES, FILMS
from stage1_detect import shape_model
from stage1_detect.config import DetectorConfig


def run() -> None:
    """Learn the shapes, train the network, write both."""
    defaults = {"data": "phantom-joints", "config": "configs/detect/shipped.yaml"}
    parser = cli.parser(__doc__, "data", "config", "set", "device", "wandb", **defaults)
    parser.add_argument(
        "--out", type=Path, default=shape_model.FILE.parent, help="folder to write to (default: that of the shipped weights)"
    )
    args = parser.parse_args()
    ((_, settings),) = config.experiments({"yolo": DetectorConfig}, [args.config], sets=args.sets)
    films, boxes = FILMS.read(paths.films(args.data)), BOXES.read(paths.truth_boxes(args.data))
    shapes = shape_model.from_boxes(films, boxes)
    shape_model.save(shapes, args.out / "template.json")

    from stage1_detect import dataset, model, trainer

    folder = paths.work(args.data) / "pretrain"
    pictures = list(dataset.export(films, boxes, settings.imgsz, paths.work(args.data) / "pictures").values())
    yaml_file = dataset.write_yaml(folder, pictures, pictures[:8])
    log = training_log.Log(folder / "log.csv", args.wandb, "pretrain")
    start = None if settings.start == "scratch" else model.load(settings.weights()).network
    target, device = args.out / "joints.safetensors", model.device_of(args.device)
    loss = trainer.train(settings, yaml_file, start, target, device, log.row, shapes=shapes)
    log.close()
    print(f"{len(pictures)} films, {settings.epochs} epochs, loss {loss:.3f} -> {target}")


if __name__ == "__main__":
    cli.main(run)
