"""Print one value of a config file, a list with one item per line; with it, shell scripts read a run's saved config.yaml.

python -m ra.config_value FILE KEY
"""

from __future__ import annotations

from pathlib import Path

from ra import cli, config


def run() -> None:
    """Print the value that the command line names."""
    p = cli.parser(__doc__)
    p.add_argument("file", type=Path, metavar="FILE", help="config file, such as the config.yaml of a run")
    p.add_argument("key", metavar="KEY", help="one of its keys")
    args = p.parse_args()
    values = config.read_yaml(args.file)
    if args.key not in values:
        raise config.UserError(f"{args.file} has no key {args.key!r}; it has {', '.join(values)}")
    value = values[args.key]
    for item in value if isinstance(value, list) else [value]:
        print(item)


if __name__ == "__main__":
    cli.main(run)
