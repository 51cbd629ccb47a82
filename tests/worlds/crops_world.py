"""A set of joint crops with two Ratingen members, without films."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ra import clinical, paths, tables
from ra.anatomy import PERCENT, RATINGEN


def ratingen_member(name: str, rows: list[tuple]) -> None:
    """Write a finished Ratingen run of stage 2 from rows (split, patient, part, joint, grade, percent)."""
    folder = paths.run_dir("s", 2, name)
    same = {"run": name, "fold": 0, "seed": 0, "visit": 1, "target": np.nan, "finding": "erosion", "box_source": "truth"}
    for split in ("oof", "test"):
        out = []
        for where, patient, part, joint, grade, percent in rows:
            if where == split:
                key = {**same, "split": split, "patient_id": patient, "part": part}
                sure = {p: float(k == grade) if k < 6 else np.nan for k, p in enumerate(tables.PROBABILITIES)}
                out.append({**key, "site": RATINGEN + joint, "pred": grade, "max_score": 5, **sure})
                out.append({**key, "site": PERCENT + joint, "pred": percent, "max_score": 100})
        columns = [*same, "split", "patient_id", "part", "site", "pred", "max_score", *tables.PROBABILITIES]
        tables.SCORES.write(pd.DataFrame(out, columns=columns), paths.scores("s", 2, name, split))
    (folder / "config.yaml").write_text("kind: ratingen\n")
    (folder / "run.json").write_text("{}")


def make(n: int = 24) -> None:
    """Write the set s, which is scored joint by joint: sites, folds, percentages, activity, and the members `good` and `zero`."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"patient_id": [f"P{i}-v1" for i in range(n)], "person_id": [f"P{i}" for i in range(n)], "visit": 1})
    people["split"] = np.where(np.arange(n) < n - 6, "train", "test")
    unscored = {"part": "ALL", "joint": "total", "site": "total", "finding": "total", "target": np.nan}
    tables.SITES.write(people.assign(**unscored), paths.sites("s"))
    train = people[people.split == "train"]
    fold = pd.DataFrame({"patient_id": train.patient_id, "fold": np.arange(len(train)) % 3, "stratum": "0"})
    tables.FOLDS.write(fold, paths.folds("s"))
    joints = people.merge(pd.DataFrame(clinical.RAU_SITES[:11], columns=["part", "joint"]), how="cross")
    percent = (rng.random(len(joints)) * 100 * np.repeat(rng.random(n), 11)).round()
    gold = tables.RATINGEN.check(joints.assign(percent=percent))
    tables.RATINGEN.write(joints.assign(percent=np.where(joints.split == "test", np.nan, percent)), paths.ratingen("s"))
    tables.RATINGEN.write(gold[gold.split == "test"], paths.ratingen_gold("s"))
    das = {"das28_esr": rng.normal(3, 1, n), "das28_crp": rng.normal(3, 1, n)}
    items = dict.fromkeys(("swollen", "tender", "esr", "crp", "global_health"), np.nan)
    tables.ACTIVITY.write(people.drop(columns="split").assign(days=0, **items, **das), paths.activity("s"))
    split = np.where(joints.split == "test", "test", "oof")
    key = list(zip(split, joints.patient_id, joints.part, joints.joint, strict=True))
    ratingen_member("good", [(*k, int(clinical.percents2grades(p)), p) for k, p in zip(key, percent, strict=True)])
    ratingen_member("zero", [(*k, 0, 0.0) for k in key])
