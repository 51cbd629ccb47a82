"""Stage 2's networks: losses by hand, the masked head, overfitting one batch, a resumed run equal to an unbroken one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from ra.anatomy import ALL_JOINTS, FINDINGS
from ra.config import UserError
from stage2_score import data, engine, tasks
from stage2_score.config import Augment, Member, Named, Optim, Sampler
from stage2_score.loss import grades_log, smooth_targets, totals_log
from stage2_score.networks import network as model
from tests.worlds.learning import by_engine, learns

QUIET = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)


def batch_of(**values: list[float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(v, dtype=torch.float32) for name, v in values.items()}


def test_local_smoothing_by_hand():
    found = smooth_targets(torch.tensor([0.0, 2.0, 5.0]), torch.tensor([5.0, 5.0, 5.0]), 7, 0.1)
    wanted = [[0.95, 0.05, 0, 0, 0, 0, 0], [0, 0.05, 0.9, 0.05, 0, 0, 0], [0, 0, 0, 0, 0.05, 0.95, 0]]
    assert torch.allclose(found, torch.tensor(wanted))


def test_grades_loss_by_hand():
    # one erosion of grade 1 among p = (1/4, 3/4) of two open grades: cross-entropy -ln 3/4, E[log2(k + 1)] = 3/4, goal 1
    logits = torch.tensor([[0.0, np.log(3.0), -1e4, -1e4, -1e4]])
    batch = batch_of(erosion=[1.0], narrowing=[float("nan")], erosion_max=[1.0], narrowing_max=[4.0], weight=[2.0])
    out = {"erosion": logits, "narrowing": torch.zeros(1, 5)}
    assert float(grades_log(out, batch, smoothing=0.0, log_space=2.0)) == pytest.approx(-np.log(0.75) + 2 * 0.0625, abs=1e-5)
    # smoothing moves half of p = 0.1 to the only neighbour that exists
    smoothed = -(0.95 * np.log(0.75) + 0.05 * np.log(0.25))
    assert float(grades_log(out, batch, smoothing=0.1, log_space=0.0)) == pytest.approx(smoothed, abs=1e-5)


def test_totals_loss_by_hand():
    batch = batch_of(erosion=[3.0, 0.0], narrowing=[float("nan"), 7.0], weight=[1.0, 3.0])
    out = {"erosion": torch.tensor([2.0, 0.2]), "narrowing": torch.tensor([9.0, 1.0])}
    # log2(1 + t): 2, 0 and 3; errors 0, 0.2 (below beta 0.5: 0.2^2 / 1), 2 (2 - 0.25); weights 1, 3, 3
    assert float(totals_log(out, batch)) == pytest.approx((0.0 + 3 * 0.04 + 3 * 1.75) / 7, abs=1e-6)


def test_unscored_findings_have_no_gradient():
    nan = float("nan")
    batch = batch_of(
        erosion=[nan, 2.0], narrowing=[nan, nan], erosion_max=[5.0, 5.0], narrowing_max=[4.0, 4.0], weight=[1.0, 1.0]
    )
    out = {"erosion": torch.randn(2, 11, requires_grad=True), "narrowing": torch.randn(2, 5, requires_grad=True)}
    grades_log(out, batch).backward()
    assert out["erosion"].grad[0].abs().sum() == 0 and out["narrowing"].grad.abs().sum() == 0
    assert out["erosion"].grad[1].abs().sum() > 0
    nothing = {**batch, "erosion": torch.full((2,), nan)}
    assert grades_log(out, nothing).item() == 0.0


def test_no_mass_above_a_sites_maximum():
    head = model.Grades(8)
    torch.nn.init.normal_(head.out["erosion"].weight, std=30.0)  # an extremely confident head
    kind = torch.arange(len(ALL_JOINTS))
    out = head(torch.randn(len(ALL_JOINTS), 8), kind)
    for finding in FINDINGS:
        p = out[finding].softmax(1)
        for joint, row in zip(ALL_JOINTS, p, strict=True):
            largest = model.max_grade(joint, finding)
            if largest >= 0:
                assert row[largest + 1 :].sum() == 0 and row.sum().item() == pytest.approx(1, abs=1e-5), (joint, finding)
    assert model.max_grade("mtp_1", "erosion") == 10 and model.max_grade("thumb_ip", "narrowing") == -1
    assert model.max_grade("wrist_cmc3", "erosion") == -1 and model.max_grade("pip_2", "erosion") == 5


def test_the_prior_is_the_site_mean_model():
    head = model.Grades(4)
    counts = {"erosion": torch.zeros(model.N_KINDS, 11), "narrowing": torch.ones(model.N_KINDS, 5)}
    counts["erosion"][3, :2] = torch.tensor([3000.0, 1000.0])
    head.set_prior(counts)
    p = head(torch.zeros(1, 4), torch.tensor([3]))["erosion"].softmax(1)[0]
    assert p[:2].tolist() == pytest.approx([0.75, 0.25], abs=0.03)  # the head's small initial weights add to the prior


def toy(n: int, kind: str = "joints", px: int = 32) -> data.Pictures:
    """Bones with a gap that closes with narrowing and a bite that grows with erosion."""
    rng = np.random.default_rng(0)
    array = np.full((n, px, px), 40, np.uint8)
    erosion, narrowing = rng.integers(0, 6, n).astype(float), rng.integers(0, 5, n).astype(float)
    for i in range(n):
        gap = 5 - int(narrowing[i])
        array[i, : px // 2 - gap, px // 4 : -px // 4] = 200
        array[i, px // 2 + gap :, px // 4 : -px // 4] = 200
        array[i, px // 2 + 5 : px // 2 + 5 + 2 * int(erosion[i]), px // 4 : px // 4 + 2 * int(erosion[i])] = 40
    array += rng.integers(0, 8, array.shape).astype(np.uint8)
    joint = "mcp_2" if kind == "joints" else "hand"
    index = pd.DataFrame({"row": np.arange(n), "joint": joint, "patient_id": [f"p{i // 2}" for i in range(n)]})
    fields = {"erosion": erosion, "narrowing": narrowing, "erosion_max": np.full(n, 5.0), "narrowing_max": np.full(n, 4.0)}
    if kind == "whole":
        fields = {"erosion": erosion * 4, "narrowing": narrowing * 3}
    return data.Pictures(array, index, np.full(n, model.kind_of(joint), np.int64), fields)


def member(**changes: object) -> Member:
    base = {
        "kind": "joints",
        "backbone": Named("test_resnet"),
        "weights": ("scratch",),
        "dropout": 0.0,
        "augment": QUIET,
        "embedding": 4,
    }
    return Member(**{**base, **changes})


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_joint_member_learns_one_batch(backbone, tmp_path):
    config = member(
        backbone=Named(backbone), sampler=Sampler("all"), loss=Named("grades_log", {"smoothing": 0.0}),
        optim=Optim(epochs=200, batch=32, lr=4e-3, ema=0, weight_decay=0, precision="fp32"),
    )  # fmt: skip
    rows = np.arange(24)
    task = tasks.Joints(toy(24), (rows, rows), config, config.loss)

    def start(seed):
        network, _ = model.build(config, "none", config.head)
        return network, by_engine(network, task, config.optim, tmp_path, seed)

    def right(network):
        predict = engine.predictor(network, engine.Runtime())
        p = task.predict(predict, rows)
        for finding in FINDINGS:
            assert (p[finding].argmax(1) == task.pictures.fields[finding]).mean() > 0.95, finding
        assert task.validate(predict)["criterion"] < 0.2

    learns(start, right)


def test_whole_member_learns_one_batch(tmp_path):
    config = member(
        kind="whole", head=Named("totals"), loss=Named("totals_log"), sampler=Sampler("all"),
        optim=Optim(epochs=200, batch=16, lr=4e-3, ema=0, weight_decay=0, precision="fp32"),
    )  # fmt: skip
    rows = np.arange(16)
    task = tasks.Whole(toy(16, "whole"), (rows, rows), config, config.loss)

    def start(seed):
        network, _ = model.build(config, "none", config.head)
        return network, by_engine(network, task, config.optim, tmp_path, seed)

    def right(network):
        p = task.predict(engine.predictor(network, engine.Runtime()), rows)
        for finding in FINDINGS:
            assert np.abs(p[finding] - np.log2(task.pictures.fields[finding] + 1)).max() < 0.6, finding

    learns(start, right)


def test_the_rate_rises_to_its_peak_and_falls():
    optim = Optim(lr=1.0, warmup_frac=0.2)
    rates = [engine.learning_rate(optim, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25) and rates[10] == pytest.approx((1 + 1 / 25) / 2) and rates[20] == 1
    assert rates[60] == pytest.approx((1 + 1e-3) / 2) and rates[99] == pytest.approx(1e-3, abs=1e-3)
    assert [engine.learning_rate(Optim(lr=1.0, schedule="cosine"), step, 2) for step in (0, 1)] == pytest.approx([1, 0.5005])
    assert {engine.learning_rate(Optim(lr=1.0, schedule="constant"), step, 9) for step in range(9)} == {1.0}


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    config = member(augment=Augment(), dropout=0.3, optim=Optim(epochs=4, batch=8, patience=9, precision="fp32"))

    def fit(folder, *stops):
        for stop in stops:  # each call acts as a new process: only the folder is carried over
            torch.manual_seed(len(stops) * 100 + (stop or 0) if stop != stops[0] else 1)
            network, _ = model.build(config, "none", config.head)
            task = tasks.Joints(toy(24), (np.arange(16), np.arange(16, 24)), config, config.loss, seed=(0, 0))
            best = engine.fit(network, task, config.optim, folder, engine.Runtime(), seed=(0, 0), stop_after=stop)
        return network.state_dict(), best

    whole, best = fit(tmp_path / "whole", None)
    broken, again = fit(tmp_path / "broken", 1, 3, None)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert {k: v for k, v in best.items() if k != "seconds"} == {k: v for k, v in again.items() if k != "seconds"}


def test_balanced_draw_and_its_weights():
    worst = np.array([0.0] * 900 + [1.0] * 90 + [4.0] * 10)
    rng = np.random.default_rng(0)
    rows, weight = data.draw(worst, Sampler("balanced", strength=1.0, correct=1.0, epoch_size=3000), rng)
    share = [(worst[rows] == g).mean() for g in (0, 1, 4)]
    assert share == pytest.approx([1 / 3] * 3, abs=0.01)
    corrected = [weight[worst[rows] == g].sum() / weight.sum() for g in (0, 1, 4)]
    assert corrected == pytest.approx([0.9, 0.09, 0.01], abs=0.003)  # back to the natural frequencies
    plain, ones = data.draw(worst, Sampler("all"), rng)
    assert sorted(plain) == list(range(1000)) and (ones == 1).all()


def test_unknown_names_are_named(monkeypatch):
    with pytest.raises(UserError, match="resnet999"):
        model.build(member(backbone=Named("resnet999")), "none", Named("grades"))
    with pytest.raises(UserError, match=r"stage2_score\.pretrain"):
        model.build(member(weights=("bone_age",), pretrained="nothing"), "nowhere", Named("grades"))

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(model.timm, "create_model", away)
    with pytest.raises(UserError, match="hub"):
        model.make_backbone(Named("resnet10t", {"channels": [8, 8, 8, 8]}), pretrained=True)


def test_an_unknown_parameter_of_the_loss_is_named_before_any_training():
    rows, wrong = np.arange(4), Named("grades_log", {"log_spac": 2.0})
    config = Member("joints", weights=("scratch",), loss=wrong)
    with pytest.raises(UserError, match="grades_log has no parameter 'log_spac'; it has smoothing, log_space"):
        tasks.Joints(toy(4), (rows, rows), config, wrong)
