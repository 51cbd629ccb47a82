"""What an experiment of this stage may say: the frozen dataclasses behind configs/<profile>/<run>.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ra import config as config_module
from ra.config import Named, UserError

CONFIGS = Path(__file__).parent / "configs"
DEFAULT = CONFIGS / "demo" / "blend.yaml"


@dataclass(frozen=True)
class Recipe:
    """The stack: who is stacked, by which learners, and how the blend is chosen."""

    members: tuple[str, ...]  # runs of stage 2, joint and whole-film ones
    site_learners: tuple[Named, ...]  # one grade of one site
    total_learners: tuple[Named, ...]  # the patient's total, erosion and narrowing
    features: Literal["all", "own", "patient"] = "all"  # what a site's learners may know, features.FEATURES
    inner_folds: int = 5  # patient splits inside the training patients that choose blend and threshold
    rounds: int = 12  # picks of the greedy blend
    bags: int = 16  # resamples of the patients over which the greedy blend is averaged
    zero_below: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # thresholds tried: a grade below becomes 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.members:
            raise UserError("members is empty; name at least one run of stage 2")
        if len(set(self.members)) < len(self.members):
            raise UserError(f"members names a run twice: {', '.join(self.members)}")
        if not self.zero_below:
            raise UserError("zero_below is empty; name at least 0.0, which leaves small grades alone")
        if self.inner_folds < 2:
            raise UserError(f"inner_folds is {self.inner_folds}; at least 2 are needed")
        if not self.site_learners or not self.total_learners:
            raise UserError("site_learners or total_learners is empty; name at least {name: mean}")


def parser(doc: str) -> Any:
    """The shared flags, and the run's name."""
    p = config_module.parser(doc, default_config=str(DEFAULT.relative_to(CONFIGS.parent.parent)))
    p.add_argument("--run", metavar="NAME", help="name of the stage-3 run (default: the config's file name)")
    return p


def run_name(args: Any) -> str:
    """A run is called like its config's file unless --run says otherwise; ensembles have names, of which the first counts."""
    if args.run or "ensembles" not in config_module.read_yaml(Path(args.config)):
        return args.run or Path(args.config).stem
    from stage3_stack.hands import Ensembles

    return config_module.load(Ensembles, args.config, args.sets).ensembles[0].name


def ratingen_runs(args: Any) -> tuple[str, ...]:
    """The Ratingen runs of stage 2 of a config of stage3_stack.visits; none of any other config."""
    if args.run or "runs" not in config_module.read_yaml(Path(args.config)):
        return ()
    from stage3_stack.visits import Visits

    return config_module.load(Visits, args.config, args.sets).runs
