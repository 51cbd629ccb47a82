"""Both hands at once (Bo et al. 2024): frozen stacks, phases, losses by hand, severity classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ra import config, paths, tables
from ra.anatomy import BOTH_HANDS, PARTS, SITES
from ra.config import UserError
from stage2_score import data, engine, scores, tasks
from stage2_score.config import MEMBERS, Augment, Member, Named, Optim, Phase, Sampler
from stage2_score.loss import LOSSES
from stage2_score.networks import network as model
from tests.worlds.learning import by_adam, learns

QUIET = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
SGD = Optim(name="sgd", lr=0.05, batch=4, epochs=1, schedule="constant", ema=0, precision="fp32")


def family(name: str) -> dict[str, Member]:
    """The demo-size members of one file of the papers."""
    return dict(config.experiments(MEMBERS, [paths.ROOT / f"configs/papers/members/{name}.yaml"], "demo"))


def task_of(member: Member, n: int = 8, px: int = 64) -> tasks.Hands:
    """Noisy pictures whose brightness is their total."""
    totals = np.linspace(2, 200, n)
    noise = np.random.default_rng(0).integers(-40, 40, (n, px, px))
    pictures = np.clip(totals[:, None, None] + noise, 0, 255).astype(np.uint8)
    index = pd.DataFrame({"row": range(n), "patient_id": [f"p{i}" for i in range(n)], "part": BOTH_HANDS, "joint": "hand"})
    bounds = member.head.params.get("bounds", [])
    fields = {"total": totals, "class": np.digitize(totals, bounds).astype(float)}
    kind = np.full(n, model.kind_of("hand"))
    rows = np.arange(n)
    return tasks.KINDS[member.kind](data.Pictures(pictures, index, kind, fields), (rows, rows), member, member.loss)


FROZEN = [
    ("bo_resnet50_rbs1", {"conv1", "bn1", "layer1"}),
    ("bo_resnet34_rbs2", {"conv1", "bn1", "layer1", "layer2"}),
    ("bo_mobilenet_irbs2", {"conv_stem", "bn1", "blocks.0", "blocks.1"}),
    ("bo_mobilenet_irbs3", {"conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2"}),
]


@pytest.mark.parametrize(("name", "still"), FROZEN)
def test_frozen_stacks_stay_put_with_their_batch_statistics_and_the_rest_moves(name, still, tmp_path):
    member = family("bo")[name]
    member = replace(member, augment=QUIET, optim=replace(member.optim, epochs=1, lr=0.05))
    network = model.Network(model.make_backbone(member.backbone), member.head, 0, 0.0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    task = task_of(member)
    task.prepare(network)
    engine.fit(network, task, member.optim, tmp_path, engine.Runtime(), seed=(0, 0))
    for key, value in network.state_dict().items():
        module = key.removeprefix("backbone.")
        frozen = any(module.startswith(f"{s}.") for s in still)
        if frozen:
            assert torch.equal(value, before[key]), key
        elif value.ndim > 1 or key.endswith("running_mean"):  # a norm's 1.0 may move by less than its last digit
            assert not torch.equal(value, before[key]), key


def test_phases_come_in_turn_each_with_its_rate_and_its_own_patience(tmp_path):
    optim = replace(SGD, phases=(Phase(3, 0.05, ("backbone",)), Phase(2, 0.01)), patience=1)
    assert [engine.phase_at(optim, e)[1] for e in range(5)] == [0, 0, 0, 3, 3]
    assert engine.next_epoch(optim, {"since_best": 0, "epoch": 2}) == 2
    assert engine.next_epoch(optim, {"since_best": 1, "epoch": 2}) == 3  # the first phase's patience has ended
    assert engine.next_epoch(optim, {"since_best": 1, "epoch": 4}) == 5  # and so has the training
    member = Member(kind="hands", head=Named("total"), loss=Named("total_mse"), weights=("scratch",), augment=QUIET)
    member = replace(member, sampler=Sampler("all"), optim=replace(optim, patience=9))
    network = model.Network(model.make_backbone(Named("test_resnet")), member.head, 0, 0.0)
    start = next(network.backbone.parameters()).detach().clone()
    task = task_of(member)
    task.prepare(network)
    engine.fit(network, task, member.optim, tmp_path, engine.Runtime(), seed=(0, 0), stop_after=3)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)["network"]
    name = next(k for k, _ in network.named_parameters())
    assert torch.equal(saved[name], start)
    found = engine.fit(network, task, member.optim, tmp_path, engine.Runtime(), seed=(0, 0))
    assert found["epochs"] == 5 and not torch.equal(torch.load(tmp_path / "last.pt", weights_only=True)["network"][name], start)


def test_an_unknown_frozen_module_is_named():
    network = model.Network(model.make_backbone(Named("test_resnet")), Named("total"), 0, 0.0)
    with pytest.raises(UserError, match=r"no module 'backbone\.layer9'.*backbone\.layer1"):
        engine.set_training(network, ("backbone.layer9",))


def test_losses_of_the_total_by_hand():
    # z is off by 0.5 and by 2 standard deviations; the third picture is not scored
    out = {"z": torch.tensor([1.5, -1.0, 9.0]), "mean": torch.tensor([10.0] * 3), "sd": torch.tensor([5.0] * 3)}
    batch = {"total": torch.tensor([15.0, 15.0, float("nan")]), "weight": torch.ones(3)}
    assert float(LOSSES["total_mse"](out, batch)) == pytest.approx((0.25 + 4) / 2)
    assert float(LOSSES["total_smooth"](out, batch)) == pytest.approx(((0.6 * 0.25 + 2) / 2) ** 0.5)
    classes = {"classes": torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 1.0, 1.0]]))}
    weighed = {"class": torch.tensor([0.0, 2.0, float("nan")]), "weight": torch.tensor([1.0, 3.0, 7.0])}
    assert float(LOSSES["cross_entropy"](classes, weighed)) == pytest.approx(-(np.log(0.5) + 3 * np.log(0.8)) / 2)


@pytest.mark.parametrize("loss", ["total_mse", "total_smooth"])
def test_gradients_of_the_total_losses(loss):
    batch = {"total": torch.tensor([15.0, 2.0], dtype=torch.float64), "weight": torch.ones(2, dtype=torch.float64)}
    scale = {"mean": torch.full((2,), 10.0, dtype=torch.float64), "sd": torch.full((2,), 5.0, dtype=torch.float64)}
    z = torch.tensor([1.3, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: LOSSES[loss]({"z": z, **scale}, batch), z)


@pytest.mark.parametrize("name", ["bo_resnet50_mse", "bo_resnet34_mse16", "bo_mobilenet_smooth", "bo_class_resnet34_b4"])
def test_each_system_overfits_eight_films(name):
    member = family("bo_class" if "class" in name else "bo")[name]
    task = task_of(member, px=32)
    truth = task.pictures.fields
    batch = {**task.pictures.batch(np.arange(8)), "weight": torch.ones(8)}

    def start(_seed):
        network = model.Network(model.make_backbone(member.backbone), member.head, 0, 0.0)
        task.prepare(network)
        return network, by_adam(network, lambda: task.loss(network, batch), 3e-3)

    def right(network):
        network.train()  # eight films are too few for running statistics
        with torch.no_grad():
            found = {k: v.numpy() for k, v in network(batch["picture"], batch["kind"]).items()}
        if "class" in name:
            assert (found["classes"].argmax(1) == truth["class"]).all(), found
        else:  # each is nearer to its own total than to its neighbours'
            assert np.abs(found["total"] - truth["total"]).max() < np.diff(truth["total"]).min() / 2, found

    learns(start, right)


def test_rows_of_both_hands_and_their_classes(monkeypatch, tmp_path):
    monkeypatch.setenv("RA_DATA", str(tmp_path))
    rows = [
        {"patient_id": p, "person_id": p, "visit": 1, "part": s.part, "joint": s.joint, "site": s.site, "finding": s.finding,
         "target": np.nan if (p, s.part, s.joint) == ("b", "LH", "pip_2") else float(s.part in ("LH", "RF")), "split": "train"}
        for p in "ab" for s in SITES
    ]  # fmt: skip
    tables.SITES.write(pd.DataFrame(rows), paths.sites("t"))
    member = family("bo_class")["bo_class_resnet34_b4"]
    totals, classes = tasks.KINDS["hands"].rows(member, "t"), tasks.KINDS["severity"].rows(member, "t")
    per_hand = sum(s.part == PARTS[0] for s in SITES)
    assert totals.target.tolist()[0] == per_hand and np.isnan(totals.target[1])  # feet do not count; one open site leaves it open
    assert classes.target.tolist()[0] == 5 and classes.max_score.tolist() == [9, 9]  # 31 lies in 30 to 45
    index = pd.DataFrame({"patient_id": list("ab"), "part": BOTH_HANDS, "joint": "hand", "box_source": "none"})
    p = np.full((2, 10), 0.1)
    filled = scores.table(task_of(member).fill(classes, index, {"classes": p}), "x", "oof", 0, 0)
    assert np.allclose(filled.pred, 4.5) and filled.p10.isna().all()
