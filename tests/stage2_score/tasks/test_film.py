"""Whole films: the limb's box, masks and loss against hand-worked numbers, pooling, and a network that learns eight films."""

from argparse import Namespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from ra import paths, tables
from ra.anatomy import ALL_JOINTS, FINDINGS, JOINTS, limb
from ra.config import Named, UserError
from stage2_score import augment, data, engine, limb_region, loss, sweep, whole_films
from stage2_score.config import Augment, Member, Optim, Sampler, WholeFilms
from stage2_score.networks import joint_masks, unet
from stage2_score.networks import network as model
from stage2_score.tasks.film import ROI, Film, from_roi, to_roi
from tests.worlds.learning import by_engine, learns

LARGE = 40.0  # a logit so large that the probabilities of all others vanish


def test_roi_leaves_borders_and_markers_out():
    film = np.zeros((500, 400), np.uint8)
    film[30:470, 40:360] = 45  # the exposed field inside black collimation
    cv2.ellipse(film, (190, 260), (70, 150), 0, 0, 360, 150, -1)
    cv2.putText(film, "L", (320, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    x0, y0, x1, y1 = limb_region.limb_box(film)
    assert (x0, y0, x1, y1) == pytest.approx((120, 110, 261, 411), abs=0.03 * 500)
    assert x0 <= 120 and y0 <= 110 and x1 >= 260 and y1 >= 410
    assert limb_region.limb_box(np.full((60, 50), 90, np.uint8)) == (0, 0, 50, 60)


def test_both_hands_face_the_reader(tmp_path):
    """The right hand lies on the left half; both are mirrored, so that the thumbs meet. A missing hand leaves black."""
    rows = []
    for part, bright_column in (("LH", 300), ("RH", 20)):  # where the thumb points
        film = np.random.default_rng(0).integers(5, 25, (400, 320), np.uint8)
        film[60:340, 100:220] = 120
        film[150:250, bright_column - 15 : bright_column + 15] = 250
        cv2.imwrite(str(tmp_path / f"a-{part}.png"), film)
        rows.append({"film_id": f"a-{part}", "patient_id": "a", "part": part, "split": "train"})
    rows.append({"film_id": "b-LH", "patient_id": "b", "part": "LH", "split": "train"})
    cv2.imwrite(str(tmp_path / "b-LH.png"), film)
    table = pd.DataFrame(rows).assign(path=lambda t: [str(tmp_path / f"{f}.png") for f in t.film_id])
    table = table.assign(view="PA", laterality=table.part.str[0], width_px=320, height_px=400, left_px=0, top_px=0, turns=0)
    counts, _ = whole_films.cut_all(table, WholeFilms(roi_width_px=64, roi_height_px=96, hands_px=64), tmp_path, one_hand=False)
    hands, index = np.load(tmp_path / "hands.npy"), pd.read_parquet(tmp_path / "hands.parquet")
    assert counts == {"films": 3, "films_left_out": 0, "hands": 2} and list(index.part) == ["HANDS", "HANDS"]
    bright = np.flatnonzero(hands[0, 32] > 200)
    assert bright.min() >= 26 and bright.max() <= 37  # both thumbs in the middle
    assert hands[1, :, :32].max() == 0 and hands[1, :, 32:].max() > 0
    first = pd.read_parquet(tmp_path / "rois.parquet").iloc[0]
    assert first.part == "LH" and first.box_source == "none" and first.x1_px <= 320


def test_toes_share_the_fingers_types():
    assert (
        joint_masks.N_TYPES == 22
        and joint_masks.TYPE["mtp_4"] == joint_masks.TYPE["mcp_4"]
        and joint_masks.TYPE["hallux_ip"] == joint_masks.TYPE["thumb_ip"]
    )
    assert joint_masks.possible_classes("foot").nonzero()[:, 0].tolist() == [
        *sorted({joint_masks.TYPE[j] for j in JOINTS["foot"]}),
        22,
    ]
    assert joint_masks.possible_classes("hand").all()


def test_masks_by_hand():
    """Centres at x = 1 (type 3) and x = 4 (type 5) of a row of pixels: r = 1, R = 2; x = 2.5 would be a tie."""
    centres = torch.full((1, 22, 2), torch.nan)
    centres[0, 3], centres[0, 5] = torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0])
    far, ring = joint_masks.BACKGROUND, joint_masks.IGNORED
    found = joint_masks.joint_masks(centres, (2, 8), 1, 1.0, 2.0)[0]
    assert found[0].tolist() == [3, 3, 3, 5, 5, 5, ring, far]  # at x = 6 the distance is exactly R: still in the ring
    assert found[1].tolist() == [ring, 3, ring, ring, 5, ring, far, far]
    centres[0, 5, 0] = 3.0  # x = 2 is now equally near to both: the first wins
    assert joint_masks.joint_masks(centres, (1, 5), 1, 1.0, 2.0)[0, 0].tolist() == [3, 3, 3, 5, 5]
    coarse = joint_masks.joint_masks(centres, (1, 4), 2, 0.75, 1.0)[0, 0]  # pixel centres at 0.5, 2.5, 4.5 and y = 0.5
    assert coarse.tolist() == [3, 5, far, far]


def test_half_grades_split_before_smoothing():
    target = loss.grade_targets(torch.tensor([2.5, 0.0, torch.nan]), 6, 0.1)
    assert target[0].tolist() == pytest.approx([0, 0.025, 0.475, 0.475, 0.025, 0])
    assert target[1].tolist() == pytest.approx([0.95, 0.05, 0, 0, 0, 0]) and target[2].sum() == 0


def tiny() -> tuple[dict, dict]:
    """One film of 1 x 4 pixels: joint 3 at the first, a ring pixel, two of background; erosion 1, narrowing unknown."""
    centres = torch.full((1, 22, 2), torch.nan)
    centres[0, 3] = torch.tensor([0.0, 0.0])
    grades = {f: torch.full((1, 22), torch.nan) for f in FINDINGS}
    grades["erosion"][0, 3] = 1.0
    batch = {"picture": torch.zeros(1, 1, 1, 4, dtype=torch.uint8), "centres": centres, "weight": torch.ones(1), **grades}
    sizes = {"joint": 23, "narrowing": 5, "erosion": 6}
    return {name: torch.zeros(1, n, 1, 4, dtype=torch.float64) for name, n in sizes.items()}, batch


def test_field_loss_by_hand():
    out, batch = tiny()
    radii = {"inner": 0.5 / 4, "outer": 1.5 / 4}
    out["joint"][0, 3, 0, 1] = 9.0  # the ring's pixel: its logits are ignored
    out["narrowing"][:] = torch.rand(5, 1, 4, dtype=torch.float64)
    plain = np.log(23) + np.log(6)
    assert loss.field_loss(out, batch, 0.1, **radii).item() == pytest.approx(plain)
    out["erosion"][0, 1, 0, 0] = np.log(5.0)  # p = 5/10 for grade 1 and 1/10 for each other
    expected = -(0.9 * np.log(0.5) + 0.1 * np.log(0.1))
    assert loss.field_loss(out, batch, 0.1, (0, 1, 1), **radii).item() == pytest.approx(expected)
    out["joint"][0, 3, 0, 0] = np.log(22.0)  # p = 1/2 for the joint
    joint = (10 * np.log(2) + 2 * np.log(23)) / 12
    assert loss.field_loss(out, batch, 0.1, (2, 0, 0), positive=10.0, **radii).item() == pytest.approx(2 * joint)


def test_field_loss_gradient():
    out, batch = tiny()
    leaves = [torch.randn_like(v).requires_grad_() for v in out.values()]
    batch = {k: v.double() if v.is_floating_point() else v for k, v in batch.items()}

    def of(*values: torch.Tensor) -> torch.Tensor:
        return loss.field_loss(dict(zip(out, values, strict=True)), batch, inner=0.2, outer=0.4)

    of(*leaves).backward()
    assert (leaves[1].grad == 0).all()  # narrowing is not scored
    original = torch.Tensor.float
    torch.Tensor.float = lambda self: self  # targets in double precision, as the check needs
    try:
        assert torch.autograd.gradcheck(of, leaves, atol=1e-4)
    finally:
        torch.Tensor.float = original


def test_perfect_fields_give_back_grades_and_centres():
    rng = np.random.default_rng(0)
    centres = torch.full((2, 22, 2), torch.nan)
    for film, part in enumerate(("LH", "RF")):
        kinds = [joint_masks.TYPE[j] for j in JOINTS[limb(part)]]
        grid = [(12 + 16 * (i % 5), 12 + 16 * (i // 5)) for i in range(len(kinds))]
        centres[film, kinds] = torch.tensor(grid).float() + torch.from_numpy(rng.uniform(-2, 2, (len(kinds), 2))).float()
    grade = torch.from_numpy(rng.integers(0, 5, (2, 22)))
    mask = joint_masks.joint_masks(centres, (48, 48), 2, 5.0, 6.0)
    own = mask.where(mask != joint_masks.IGNORED, torch.tensor(joint_masks.BACKGROUND))
    shape = {"joint": 23, "narrowing": 5, "erosion": 6}
    on = {"joint": own} | {f: grade.gather(1, own.clamp_max(21).flatten(1)).view(own.shape) for f in FINDINGS}
    out = {k: LARGE * torch.nn.functional.one_hot(on[k], n).permute(0, 3, 1, 2).float() for k, n in shape.items()}
    shown = torch.stack([joint_masks.possible_classes("hand"), joint_masks.possible_classes("foot")])
    found = unet.pool(out, shown, stride=2)
    there = ~centres[..., 0].isnan()
    assert (found["centre"] - centres)[there].abs().max() < 1.0  # half a field's pixel
    for finding in FINDINGS:
        assert (found[finding].argmax(-1) == grade)[there].all()
    assert found["conf"][there].min() > 0.99 and found["conf"][~there].isnan().all() and found["centre"][~there].isnan().all()


def test_a_joint_without_pixels_takes_soft_weights():
    out = {"joint": torch.zeros(1, 23, 1, 2), "narrowing": torch.zeros(1, 5, 1, 2), "erosion": torch.zeros(1, 6, 1, 2)}
    out["joint"][0, joint_masks.BACKGROUND] = LARGE
    out["joint"][0, 7, 0, 1] = np.log(3.0)  # three times likelier on the right
    out["narrowing"][0, 0, 0, 0], out["narrowing"][0, 4, 0, 1] = LARGE, LARGE
    found = unet.pool(out, torch.ones(1, 23, dtype=torch.bool), 1)
    assert found["narrowing"][0, 7].tolist() == pytest.approx([0.25, 0, 0, 0, 0.75], abs=1e-4) and found["conf"].isnan().all()


def test_points_go_to_the_roi_and_back():
    index = pd.DataFrame(
        {
            "part": ["LH", "LH"],
            "laterality": ["L", "R"],
            **dict(zip(ROI, [[10.0] * 2, [20.0] * 2, [110.0] * 2, [220.0] * 2], strict=True)),
        }
    )
    first = np.array([[10.0, 20.0], [10.0, 20.0]])  # the first pixel inside the box
    roi_xy = to_roi(first, index, (400, 200))  # twice as large
    assert roi_xy.tolist() == [[0.5, 0.5], [198.5, 0.5]]
    assert from_roi(roi_xy, index, (400, 200)) == pytest.approx(first)


def test_points_move_with_the_picture():
    picture = np.zeros((1, 96, 64), np.uint8)
    cv2.circle(picture[0], (20, 30), 3, 255, -1)
    points = np.array([[[20.0, 30.0], [np.nan, np.nan]]])
    turned = Augment(rotate_deg=20, shift_frac=0.1, scale_frac=0.2, flip_p=0.5, cutout_frac=0, noise=0, blur_px=0, photo_p=0)
    for seed in range(8):
        out, moved = augment.apply_with_points(augment.compose(turned, 64, points=True), picture, points, seed)
        y, x = np.nonzero(out[0] > 128)
        assert (x.mean(), y.mean()) == pytest.approx(tuple(moved[0, 0]), abs=0.8) and np.isnan(moved[0, 1]).all()


def toy(n: int = 8) -> data.Pictures:
    """Small 'hands' of three joints: a disc each, whose brightness is its grade."""
    rng, px = np.random.default_rng(0), 64
    array = np.full((n, px, px), 30, np.uint8)
    fields_ = {f: np.full((n, 22), np.nan) for f in FINDINGS} | {"centres": np.full((n, 22, 2), np.nan)}
    for i in range(n):
        for k, spot in ((1, (18, 16)), (6, (44, 20)), (12, (30, 46))):
            centre = np.array(spot) + rng.integers(-4, 5, 2)
            grade = int(rng.integers(0, 4))
            cv2.circle(array[i], [int(v) for v in centre], 6, 90 + 50 * grade, -1)
            fields_["centres"][i, k], fields_["erosion"][i, k], fields_["narrowing"][i, k] = centre, grade, grade
    index = pd.DataFrame(
        {"row": np.arange(n), "film_id": [f"p{i}-LH" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)]}
    )
    index = index.assign(
        part="LH", laterality="L", joint="hand", box_source="none", **dict.fromkeys(ROI[:2], 0.0), **dict.fromkeys(ROI[2:], 64.0)
    )
    return data.Pictures(array, index, np.full(n, model.kind_of("hand"), np.int64), fields_)


def config(**changes: object) -> Member:
    still = Augment(0, 0, 0, brightness=0, contrast=0, gamma=0, noise=0, blur_px=0, cutout_frac=0)
    head = Named("fields", {"widths": [32, 24, 16, 16]})
    base = {
        "kind": "film",
        "backbone": Named("test_resnet"),
        "head": head,
        "weights": ("scratch",),
        "dropout": 0.0,
        "augment": still,
    }
    radii = {"smoothing": 0.0, "inner": 5 / 64, "outer": 7 / 64, "positive": 10.0, "weights": [5, 1, 1]}
    return Member(**{**base, "loss": Named("fields", radii), "sampler": Sampler("all"), **changes})


def test_the_film_member_learns_eight_films(tmp_path):
    member = config(optim=Optim(epochs=200, batch=4, lr=1e-2, ema=0, weight_decay=0, precision="fp32"))
    rows = np.arange(8)
    task = Film(toy(), (rows, rows), member, member.loss)
    truth = task.pictures.fields
    there = ~np.isnan(truth["erosion"])

    def start(seed):
        network, _ = model.build(member, "none", member.head)
        task.prepare(network)
        return network, by_engine(network, task, member.optim, tmp_path, seed)

    def right(network):
        predict = engine.predictor(network, engine.Runtime())
        found = task.predict(predict, rows)
        assert np.abs(found["centre"] - truth["centres"])[there].max() < 3.0
        assert task.validate(predict)["val_erosion"] < 0.2
        for finding in FINDINGS:
            assert (found[finding].argmax(-1) == truth[finding])[there].mean() > 0.95, finding
        boxes = task.extra_tables(task.pictures.index, found)["boxes"].assign(fold=0)
        tables.BOXES.check(boxes)
        seen = boxes[boxes.joint == ALL_JOINTS[6]]
        assert seen[["x_px", "y_px"]].to_numpy() == pytest.approx(truth["centres"][:, 6], abs=3.0) and (seen.w_px == 10).all()
        assert (boxes[boxes.joint == "wrist_ulna"].source == "template").all()

    learns(start, right)


def test_foot_erosion_is_doubled_back():
    pictures = toy(1)
    pictures.index[["part", "joint"]] = "RF", "foot"
    task = Film(pictures, (np.arange(1), np.arange(1)), config(), Named("fields"))
    found = {"erosion": np.zeros((1, 22, 6)), "narrowing": np.full((1, 22, 5), 0.2)}
    found["erosion"][0, joint_masks.TYPE["mtp_2"], [2, 3]] = 0.5, 0.5
    place = {"patient_id": "p0", "visit": 1, "part": "RF", "joint": "mtp_2", "site": "mtp_E__2", "finding": "erosion"}
    row = task.fill(pd.DataFrame([{**place, "max_score": 10}]), pictures.index, found).iloc[0]
    assert (row.p4, row.p6, row.p5, row.pred) == (0.5, 0.5, 0.0, 5.0)


def test_weights_of_crops_fit_the_encoder_and_give_coordinates_no_weight():
    crops = model.Network(model.make_backbone(Named("test_resnet")), Named("grades"), 16, 0.0)
    whole, _ = model.build(config(), "none", config().head)
    taken = whole.usable_weights({k: v for k, v in crops.state_dict().items() if not k.startswith("head.")})
    whole.load_state_dict(taken, strict=False)
    first = next(k for k in taken if k.endswith("weight"))
    own, of_crops = whole.state_dict()[first], crops.state_dict()[first]
    assert torch.equal(own[:, :1], of_crops) and (own[:, 1:] == 0).all()
    assert len([k for k in taken if k.startswith("backbone.")]) > 20


def test_a_sweep_names_its_runs():
    path = paths.ROOT / "configs/papers/members/maziarz.yaml"
    values = ["loss.params.smoothing=0,0.1", "optim.lr=1e-3"]
    args = Namespace(data="tiny", configs=[path], profile="demo", run="maziarz", sets=[], values=values)
    found = sweep.runs_of(args)
    assert [name for name, _ in found.values()] == ["maziarz-smoothing-0", "maziarz-smoothing-0.1", "maziarz-lr-1e-3"]
    assert found["loss.params.smoothing", "0"][1].loss.params["smoothing"] == 0 and found["optim.lr", "1e-3"][1].optim.lr == 1e-3
    with pytest.raises(UserError, match="key=value"):
        sweep.parse("loss.params.smoothing")
