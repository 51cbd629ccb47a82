"""The papers' figures as printed. `evaluation.compare_papers` shows them next to ours, which were measured on other data.

Bo: Bo, Coates, Papiez 2024, `Deep Learning Models to Automate the Scoring of Hand Radiographs for Rheumatoid Arthritis`.
Rohrbach: Rohrbach, Reinhard, Sick, Duerr, Comput Electr Eng 2019;78:472, and the project thesis by Rohrbach behind it.
Maziarz: Maziarz, Krason, Wojna 2021, `Deep Learning for Rheumatoid Arthritis: Joint Detection and Damage Scoring in X-rays`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BoRow:
    """A row of Bo's Table 1 (figures PCC, MAE, RMSE) or Table 2 (accuracy, balanced accuracy, PCC, MAE, RMSE); `run` is our
    run of that system."""

    section: str
    model: str
    how: str  # the loss, the frozen layers or the principle of stacking
    batch: str
    figures: tuple[float, ...]
    run: str


def _rows(section: str, text: str) -> tuple[BoRow, ...]:
    """Rows of `model | how | batch | figures | run`."""
    cells = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return tuple(BoRow(section, c[0], c[1], c[2], tuple(map(float, c[3].split())), c[4]) for c in cells)


BO_TABLE_1 = (
    *_rows("baseline", """
        ResNet-50   | smooth | 4  | 0.838 16.87 26.02 | bo_resnet50_smooth
        ResNet-50   | MSE    | 4  | 0.885 15.33 22.72 | bo_resnet50_mse
        ResNet-50   | MSE    | 16 | 0.895 17.65 23.26 | bo_resnet50_mse16
        ResNet-34   | smooth | 4  | 0.828 16.9 27.14  | bo_resnet34_smooth
        ResNet-34   | MSE    | 4  | 0.876 15.11 22.7  | bo_resnet34_mse
        ResNet-34   | MSE    | 16 | 0.885 17.1 22.89  | bo_resnet34_mse16
        MobileNetV2 | smooth | 4  | 0.877 14.96 23.11 | bo_mobilenet_smooth
        MobileNetV2 | MSE    | 4  | 0.877 14.84 22.72 | bo_mobilenet_mse
        MobileNetV2 | MSE    | 16 | 0.903 14.99 20.48 | bo_mobilenet_mse16
    """),
    *_rows("transfer learning", """
        ResNet-50   | none frozen | 4 | 0.907 12.97 20.14 | bo_resnet50_finetuned
        ResNet-50   | RBs-1       | 4 | 0.918 13.58 18.88 | bo_resnet50_rbs1
        ResNet-50   | RBs-2       | 4 | 0.908 13.53 19.86 | bo_resnet50_rbs2
        ResNet-34   | none frozen | 4 | 0.912 13.84 19.78 | bo_resnet34_finetuned
        ResNet-34   | RBs-1       | 4 | 0.902 14.74 20.57 | bo_resnet34_rbs1
        ResNet-34   | RBs-2       | 4 | 0.9 13.68 20.72   | bo_resnet34_rbs2
        MobileNetV2 | none frozen | 4 | 0.898 14.02 20.95 | bo_mobilenet_finetuned
        MobileNetV2 | IRBs-2      | 4 | 0.898 13.97 20.81 | bo_mobilenet_irbs2
        MobileNetV2 | IRBs-3      | 4 | 0.907 13.59 19.93 | bo_mobilenet_irbs3
    """),
    *_rows("ensemble", """
        three of the above | linear | 4  | 0.925 12.63 18.17 | bo_total
        three of the above | linear | 16 | 0.925 12.57 18.02 | bo_total
    """),
)  # fmt: skip

BO_TABLE_2 = (
    *_rows("baseline", """
        ResNet-50   | cross-entropy | 4  | 0.341 0.327 0.809 1.42 2.09 | bo_class_resnet50_b4
        ResNet-50   | cross-entropy | 16 | 0.249 0.242 0.75 1.65 2.31  | bo_class_resnet50_b16
        ResNet-34   | cross-entropy | 4  | 0.321 0.312 0.829 1.24 1.76 | bo_class_resnet34_b4
        ResNet-34   | cross-entropy | 16 | 0.296 0.289 0.784 1.36 1.92 | bo_class_resnet34_b16
        MobileNetV2 | cross-entropy | 4  | 0.316 0.31 0.822 1.33 1.86  | bo_class_mobilenet_b4
        MobileNetV2 | cross-entropy | 16 | 0.313 0.301 0.833 1.24 1.77 | bo_class_mobilenet_b16
    """),
    *_rows("transfer learning", """
        ResNet-50   | none frozen | 4 | 0.352 0.344 0.842 1.18 1.72 | bo_class_resnet50_finetuned
        ResNet-50   | RBs-1       | 4 | 0.335 0.326 0.833 1.23 1.75 | bo_class_resnet50_rbs1
        ResNet-50   | RBs-2       | 4 | 0.316 0.302 0.82 1.29 1.84  | bo_class_resnet50_rbs2
        ResNet-34   | none frozen | 4 | 0.318 0.307 0.844 1.2 1.67  | bo_class_resnet34_finetuned
        ResNet-34   | RBs-1       | 4 | 0.296 0.288 0.828 1.27 1.81 | bo_class_resnet34_rbs1
        ResNet-34   | RBs-2       | 4 | 0.358 0.351 0.834 1.22 1.8  | bo_class_resnet34_rbs2
        MobileNetV2 | none frozen | 4 | 0.349 0.337 0.834 1.23 1.73 | bo_class_mobilenet_finetuned
        MobileNetV2 | IRBs-2      | 4 | 0.341 0.327 0.819 1.24 1.79 | bo_class_mobilenet_irbs2
        MobileNetV2 | IRBs-3      | 4 | 0.349 0.339 0.832 1.17 1.67 | bo_class_mobilenet_irbs3
    """),
    *_rows("ensemble", """
        three of the above | all classes  | 4  | 0.355 0.348 0.854 1.13 1.64 | bo_all_classes
        three of the above | all classes  | 16 | 0.355 0.342 0.851 1.19 1.71 | bo_all_classes
        three of the above | single class | 4  | 0.352 0.344 0.853 1.13 1.63 | bo_single_class
        three of the above | single class | 16 | 0.358 0.349 0.859 1.12 1.62 | bo_single_class
    """),
    *_rows("regression to classes", """
        ensemble of regressors | bounds | 16 | 0.288 0.29 0.861 1.14 1.54 | bo_total_to_class
    """),
)  # fmt: skip
BO_READERS = {"PCC": 0.97, "MAE": 12.24, "RMSE": 18.75}  # section 2.1: two radiologists

# run, where, then accuracy, balanced accuracy, +-1 balanced accuracy. Paper: Table 2 and section 4.1; dense layers 512 and 256.
# Thesis: Table 2, a) plain, b) oversampled, c) weighted, 256 and 256; Table 4, Inception V3.
ROHRBACH_CLASSES = (
    ("rohrbach_plain", "paper, validation", (0.775, 0.420, 0.792)),
    ("rohrbach_plain", "thesis, test", (0.726, 0.264, 0.558)),
    ("rohrbach_oversampled", "thesis, test", (0.730, 0.337, 0.675)),
    ("rohrbach_weighted", "paper, validation", (0.663, 0.457, 0.829)),
    ("rohrbach_weighted", "paper, test", (0.658, 0.475, 0.830)),
    ("rohrbach_thesis", "thesis, test", (0.569, 0.422, 0.817)),
    ("rohrbach_inception", "thesis, test", (0.650, 0.436, 0.787)),
)
# run, where, then CRPS, MSE, MAE of the percentage. Thesis: Table 3, a) to c) as above; Table 4 (0.653 is the printed MAE).
ROHRBACH_PERCENT = (
    ("rohrbach_crps", "thesis, test", (0.0291, 80.884, 4.046)),
    ("rohrbach_crps_oversampled", "thesis, test", (0.0304, 83.017, 4.072)),
    ("rohrbach_crps_weighted", "thesis, test", (0.0426, 94.488, 4.057)),
    ("rohrbach_inception_crps", "thesis, test", (0.0274, 72.768, 0.653)),
)
# Paper, Table 3 and section 4.2: 308 joints of the re-scoring set; (value, low, high).
ROHRBACH_RATERS = {
    "model - reader 1": (0.675, 0.608, 0.742),
    "model - reader 2": (0.580, 0.505, 0.655),
    "reader 1 - reader 2": (0.562, 0.487, 0.638),
    "ICC of the three": (0.601, 0.543, 0.656),
}

# SC1, SC2, SC3 of the challenge's final 188 patients (Sun et al., JAMA Netw Open 2022;5(8):e2227423; Maziarz, `Results`).
CHALLENGE = {
    "Li & Guan": (0.4611, 0.3758, 0.4464),
    "Alpine Lads": (0.8844, 0.4132, 0.4660),
    "Maziarz/Wojna": (2.1200, 0.4075, 0.4607),
    "column mean": (1.26, 0.661, 0.585),
}


def challenge_text() -> str:
    """The scores of the challenge's teams in one sentence."""
    teams = "; ".join(f"{team} {sc1:.4g}, {sc2:.4g}, {sc3:.4g}" for team, (sc1, sc2, sc3) in CHALLENGE.items())
    return f"In the challenge (188 other patients; SC1, SC2, SC3): {teams}"
