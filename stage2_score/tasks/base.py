"""The kinds of members: how each trains on one fold, predicts, and fills its rows of the Scores table.

MemberTask is the interface of every kind; PictureTask implements it for networks, tasks.sitemean for the null model.

    verb train (one fold)                            verb predict (another prepared set)
      choose_start     weights and precision           trained_folds   which folds can be applied
      train_fold   ->  FittedFold                      load_fold   ->  FittedFold
      rows             expected rows of the table      rows
      FittedFold.predict(rows)  ->  rows with pred     FittedFold.predict(rows)
    when all folds are there
      metrics, after_folds

A network's train_fold is written here, around hooks that each kind implements:

      open_pictures -> fields    pictures with their targets
      has_target                 which pictures can be learned from
      prepare                    the network before the first step
      batches (sampler_grade)    what an epoch draws           }
      loss                       by its name in loss.LOSSES    }  called by engine.fit
      validate                   metrics of the held-back      }
      predict (decode)           outputs of pictures
      fill, extra_tables         outputs -> rows of the Scores table, further tables
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ra import config as configs
from ra import paths, training_log
from ra.anatomy import FINDINGS
from ra.config import UserError
from stage2_score import engine
from stage2_score.config import Member, Named, Pretrain, TrainingContext
from stage2_score.data import Pictures, draw, epoch_batches, n_steps, open_array, plain_batches, read_index
from stage2_score.engine import Runtime
from stage2_score.loss import LOSSES
from stage2_score.networks import network as networks

Predict = Callable[[dict[str, Tensor]], dict[str, Tensor]]  # a batch -> the head's outputs (engine.predictor)


@dataclass(frozen=True)
class FittedFold:
    """The trained model of one fold. predict: rows of a Scores table -> the rows with predictions, and further tables by name."""

    predict: Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[str, pd.DataFrame]]]
    record: dict  # for fold.json: seconds, start, parameters and the best epoch's metrics


class MemberTask:
    """The interface of a kind of member. `data` is the name of a prepared set."""

    @classmethod
    def choose_start(cls, member: Member, context: TrainingContext, folder: Path) -> tuple[Member, Runtime | None]:
        """The member and the runtime with which all its folds are trained, decided once per run."""
        raise NotImplementedError

    @classmethod
    def train_fold(
        cls, name: str, member: Member, context: TrainingContext, fold: int, split: tuple[set, set, set], runtime: Runtime | None
    ) -> FittedFold:
        """Train on one fold. split: patients to train on, held back and predicted (train.split_fold)."""
        raise NotImplementedError

    @classmethod
    def trained_folds(cls, name: str, member: Member, trained: str) -> list[int]:
        """The folds of a finished run of the set `trained` that load_fold can load."""
        raise NotImplementedError

    @classmethod
    def load_fold(cls, name: str, member: Member, trained: str, fold: int, context: TrainingContext) -> FittedFold:
        """A trained fold, to be applied to the patients of context.data."""
        raise NotImplementedError

    @classmethod
    def rows(cls, member: Member, data: str) -> pd.DataFrame:
        """The rows of a Scores table that this kind fills, with target, max_score and split, of every patient of a set."""
        raise NotImplementedError

    @classmethod
    def metrics(cls, oof: pd.DataFrame, data: str) -> dict[str, float]:
        """Metrics of a finished run's out-of-fold table."""
        return {}

    @classmethod
    def after_folds(cls, run: str, data: str, member: Member) -> tuple[list[Path], dict[str, float]]:
        """When all folds are joined: further files written from the extra tables, and metrics about them."""
        return [], {}


class PictureTask(MemberTask):
    """A kind of member with a network: batches of its pictures, a loss by name, and the hooks of the subclass."""

    eval_batch = 256  # pictures at a time in prediction
    input = "crops"  # which array of the pictures' run the network sees
    outputs: tuple[str, ...] = FINDINGS  # names of the network's decoded outputs
    targets: tuple[str, ...] = FINDINGS  # names of fields; a picture is trained on if any of them is known

    def __init__(
        self,
        pictures: Pictures,
        rows: tuple[np.ndarray, np.ndarray],
        config: Member | Pretrain,
        loss: Named,
        *,
        seed: tuple[int, ...] = (0, 0),
        workers: int = 0,
    ):
        """rows: index rows to train on, and held back for validation."""
        if loss.name not in LOSSES:
            raise UserError(f"loss {loss.name!r} is unknown; one of {', '.join(LOSSES)}")
        unknown = set(loss.params) - set(inspect.signature(LOSSES[loss.name]).parameters)
        if unknown:
            known = list(inspect.signature(LOSSES[loss.name]).parameters)[2:]  # behind the network's outputs and the batch
            raise UserError(f"loss.params: {loss.name} has no parameter {min(unknown)!r}; it has {', '.join(known) or 'none'}")
        self.pictures, (self.train_rows, self.val_rows), self.config, self.loss_config = pictures, rows, config, loss
        self.seed, self.workers = seed, workers
        self.steps = n_steps(config.sampler.epoch_size or len(self.train_rows), config.optim.batch)

    def batches(self, epoch: int) -> Iterable[dict[str, Tensor]]:
        """The augmented batches of an epoch."""
        seed = (*self.seed, epoch)
        drawn, weight = draw(self.sampler_grade()[self.train_rows], self.config.sampler, np.random.default_rng(seed))
        options = {"batch": self.config.optim.batch, "change": self.config.augment, "seed": seed, "workers": self.workers}
        return epoch_batches(self.pictures, (self.train_rows[drawn], weight), **options)

    def sampler_grade(self) -> np.ndarray:
        """(n pictures,) the grade 0..5 by which the sampler draws and weighs pictures."""
        return np.zeros(len(self.pictures))

    def prepare(self, network: nn.Module) -> None:
        """Set priors or scales of a new network from the training pictures, before the first step."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """The training loss of a batch."""
        out = network(batch["picture"], batch["kind"], batch.get("extra"))
        return LOSSES[self.loss_config.name](out, batch, **self.loss_config.params)

    def validate(self, predict: Predict) -> dict[str, float]:
        """Metrics of the held-back pictures; the epoch with the lowest `criterion` is kept."""
        raise NotImplementedError

    def validation_loss(self, predict: Predict, weight: np.ndarray | None = None) -> float:
        """The training loss on the held-back pictures, weighted (mean weight 1) or with equal weights."""
        weight = torch.ones(len(self.val_rows)) if weight is None else torch.from_numpy(weight.astype(np.float32))
        total, done = 0.0, 0
        for (batch,) in plain_batches(self.pictures, self.val_rows, self.eval_batch):
            n = len(batch["kind"])
            weighted = {**batch, "weight": weight[done : done + n]}
            total += float(LOSSES[self.loss_config.name](predict(batch), weighted, **self.loss_config.params)) * n
            done += n
        return total / len(self.val_rows)

    def predict(self, network: Predict, rows: np.ndarray, tta: int = 1, trim: float = 0.0) -> dict[str, np.ndarray]:
        """Decoded outputs of index rows: the mean over test-time views, without a share `trim` of them at either end."""
        batches: dict[str, list[Tensor]] = {name: [] for name in self.outputs}
        for views in plain_batches(self.pictures, rows, self.eval_batch, tta):
            decoded = [self.decode(network(view)) for view in views]
            for name in self.outputs:
                batches[name].append(trimmed_mean(torch.stack([outputs[name] for outputs in decoded]), trim))
        return {name: torch.cat(parts).numpy().astype(np.float64) for name, parts in batches.items()}

    def decode(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        """The head's outputs on the scale on which views are averaged, such as probabilities for logits."""
        return out

    def has_target(self) -> np.ndarray:
        """(n pictures,) whether a picture has any target."""
        fields = [self.pictures.fields[name].reshape(len(self.pictures), -1) for name in self.targets]
        return np.concatenate([~np.isnan(field) for field in fields], axis=1).any(axis=1)

    @classmethod
    def open_pictures(cls, member: Member, data: str) -> Pictures:
        """The pictures of a prepared set with their targets (NaN where not scored, and for test patients)."""
        folder = paths.run_dir(data, 2, member.pictures)
        index = read_index(folder, cls.input)
        kind = index.joint.map(networks.kind_of).to_numpy(np.int64)
        return Pictures(open_array(folder, cls.input), index, kind, cls.fields(member, data, index))

    @classmethod
    def fields(cls, member: Member, data: str, index: pd.DataFrame) -> dict[str, np.ndarray]:
        """Targets of each picture."""
        raise NotImplementedError

    def fill(self, rows: pd.DataFrame, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> pd.DataFrame:
        """Rows of a Scores table with the decoded outputs of their pictures; NaN where there is no picture."""
        raise NotImplementedError

    def extra_tables(self, index: pd.DataFrame, outputs: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
        """Further tables by name, such as boxes; they are written as <name>_<split>.parquet with a column `fold`."""
        return {}

    def predict_rows(self, network: Predict, rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """Rows of a Scores table with a network's predictions (NaN where there is no picture), and the extra tables."""
        pictures = np.flatnonzero(self.pictures.index.patient_id.isin(set(rows.patient_id)))
        index, outputs = self.pictures.index.iloc[pictures], self.predict(network, pictures, self.config.tta, self.config.trim)
        return self.fill(rows, index, outputs), self.extra_tables(index, outputs)

    @classmethod
    def choose_start(cls, member: Member, context: TrainingContext, folder: Path) -> tuple[Member, Runtime]:
        """The member with only that source of weights that is used, and the runtime with its precision."""
        if member.trained:
            check_same_network(member, paths.run_dir(context.data, 2, member.trained))
            member = replace(member, weights=("scratch",))
        pictures = cls.open_pictures(member, context.data)
        rows = np.arange(len(pictures))
        task = cls(pictures, (rows, rows), member, member.loss)
        network, source = networks.build(member, context.bone_age, member.head)
        runtime = engine.choose_precision(network, task, Runtime(context.device), member.optim.precision, folder)
        precision = "bfloat16" if runtime.bf16 else "fp32"
        print(f"{folder.name}: starts from {member.trained or source}, on {context.device} in {precision}", flush=True)
        return replace(member, weights=(source,)), runtime

    @classmethod
    def train_fold(
        cls, name: str, member: Member, context: TrainingContext, fold: int, split: tuple[set, set, set], runtime: Runtime
    ) -> FittedFold:
        """Train the network of a fold, or load that of the run `member.trained`."""
        folder = paths.fold_dir(context.data, 2, name, fold)
        pictures = cls.open_pictures(member, context.data)
        all_rows = np.arange(len(pictures))
        has_target = cls(pictures, (all_rows, all_rows), member, member.loss).has_target()
        patients = pictures.index.patient_id
        rows = tuple(np.flatnonzero(patients.isin(chosen).to_numpy() & has_target) for chosen in split[:2])
        if not all(map(len, rows)):
            raise UserError(
                f"{name}, fold {fold}: no training pictures with a score; check {paths.sites(context.data)} and the pictures"
            )
        task = cls(pictures, rows, member, member.loss, seed=(member.seed, fold), workers=context.workers)
        torch.manual_seed(member.seed * 1000 + fold)
        network, source = networks.build(member, context.bone_age, member.head)
        if member.trained:
            best = {"seconds": 0.0}
            trained = paths.fold_dir(context.data, 2, member.trained, fold)
            network.load_state_dict(load_file(trained / "best.safetensors"))
            network.to(runtime.device)
        else:
            task.prepare(network)
            log, seed = training_log.Log(folder / "log.csv"), (member.seed, fold)
            best = engine.fit(network, task, member.optim, folder, runtime, seed=seed, log=log, fold=fold)
        record = {**best, "start": member.trained or source, "parameters": networks.n_parameters(network)}
        predict = engine.predictor(network, runtime)
        return FittedFold(lambda wanted: task.predict_rows(predict, wanted), record)

    @classmethod
    def trained_folds(cls, name: str, member: Member, trained: str) -> list[int]:
        weights = paths.run_dir(trained, 2, member.trained or name).glob("fold_*/best.safetensors")
        return sorted(int(path.parent.name.removeprefix("fold_")) for path in weights)

    @classmethod
    def load_fold(cls, name: str, member: Member, trained: str, fold: int, context: TrainingContext) -> FittedFold:
        no_rows = np.zeros(0, int)
        task = cls(cls.open_pictures(member, context.data), (no_rows, no_rows), member, member.loss)
        network = networks.make_network(member, member.head)
        network.load_state_dict(load_file(paths.fold_dir(trained, 2, member.trained or name, fold) / "best.safetensors"))
        network.to(context.device, memory_format=torch.channels_last)  # as in training
        predict = engine.predictor(network, Runtime(context.device))
        return FittedFold(lambda wanted: task.predict_rows(predict, wanted), {})


def check_same_network(member: Member, trained: Path) -> None:
    """Refuse to take the weights of a run with another network or other pictures."""
    if not (trained / "run.json").is_file():
        raise UserError(f"{trained} is not finished; train {trained.name} first, because its weights are used")
    other = configs.load(Member, trained / "config.yaml")
    for name in ("kind", "backbone", "head", "embedding", "pictures", "holdout"):
        if getattr(member, name) != getattr(other, name):
            raise UserError(f"{name} differs from that of the run {trained.name}, whose weights are used; make them equal")


def trimmed_mean(values: Tensor, trim: float) -> Tensor:
    """Mean over the first axis, element by element, without the floor(trim n) lowest and highest of the n values.

    Probabilities that are trimmed element by element need not sum to 1; the Scores table normalises them.
    """
    cut = int(trim * len(values))
    return values.sort(0).values[cut : len(values) - cut].mean(0) if cut else values.mean(0)


def target_fields(rows: pd.DataFrame, index: pd.DataFrame, findings: tuple[str, ...]) -> dict[str, np.ndarray]:
    """finding -> the target of each picture of an index (patient_id, part, joint); NaN where a picture has no such row."""
    key = ["patient_id", "part", "joint"]
    places = pd.MultiIndex.from_frame(index[key])
    return {f: rows[rows.finding == f].set_index(key).target.reindex(places).to_numpy(float) for f in findings}
