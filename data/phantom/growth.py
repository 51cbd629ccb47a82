"""A growing hand: its size, ossification centres that appear with age, epiphyses, and growth plates that close.

Ages of appearance and closure are mean values for girls and boys in years (atlas of Greulich & Pyle; Gilsanz & Ratib). Bone age
is the age at which a hand has this appearance, so the picture depends only on bone age and sex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.phantom.skeleton import Skeleton

# name: (girls, boys), age at which the ossification centre appears
APPEARS = {
    "capitate": (0.2, 0.25), "hamate": (0.3, 0.35), "triquetrum": (1.9, 2.4), "lunate": (2.8, 3.6), "trapezium": (3.8, 5.1),
    "trapezoid": (3.9, 5.3), "scaphoid": (4.2, 5.6), "pisiform": (8.3, 10.6), "sesamoid": (10.5, 12.8),
}  # fmt: skip
YEARS_TO_ADULT = 10.0  # from a centre's appearance to its adult shape
EPIPHYSIS = {"pp": (1.0, 1.5), "mp": (1.4, 2.0), "dp": (1.6, 2.4), "mc": (1.3, 1.9), "radius": (0.8, 1.1), "ulna": (5.3, 6.3)}
CLOSES = {
    "dp": (13.3, 15.4),
    "pp": (14.2, 16.2),
    "mp": (14.3, 16.3),
    "mc": (14.4, 16.4),
    "radius": (16.8, 18.2),
    "ulna": (16.4, 17.8),
}
ADULT = (15.5, 17.5)


@dataclass(frozen=True)
class Growth:
    """Bone age in years and sex of a growing hand."""

    bone_age: float
    female: bool

    @property
    def size(self) -> float:
        """Length of the hand relative to an adult's: 0.36 at birth, 0.73 at 8 years, 1 when grown."""
        adult = ADULT[0 if self.female else 1]
        return float(np.interp(self.bone_age, [0, 1, 3, 5, 8, 0.72 * adult, adult], [0.36, 0.45, 0.55, 0.62, 0.73, 0.86, 1.0]))


def grow(skeleton: Skeleton, growth: Growth, rng: np.random.Generator) -> None:
    """Change an adult hand (already of the child's size) into one of the given bone age, in place."""
    sex = 0 if growth.female else 1
    age = growth.bone_age
    kept = []
    for bone in skeleton.bones:
        kind = bone.name.split("_")[0]
        if kind in APPEARS:
            since = age - APPEARS[kind][sex] * rng.normal(1, 0.05)
            if since <= 0.05:
                continue
            _round_centre(bone, since)
        if kind in EPIPHYSIS:
            _epiphysis(bone, kind, age, sex, rng)
        bone.cortex_mm = tuple(c * (0.55 + 0.45 * growth.size) for c in bone.cortex_mm)
        kept.append(bone)
    skeleton.bones[:] = kept


def _round_centre(bone: object, since: float) -> None:
    """Shrink and round a young ossification centre; `since`: years since it appeared."""
    share = float(np.clip((since / YEARS_TO_ADULT) ** 0.55, 0.16, 1))
    centre = bone.outline.mean(0)
    offset = bone.outline - centre
    radius = np.hypot(*offset.T)
    disc = offset / radius[:, None] * radius.mean()
    bone.outline = centre + share * (share * offset + (1 - share) * disc)


def _epiphysis(bone: object, kind: str, age: float, sex: int, rng: np.random.Generator) -> None:
    """Add a growth plate to the bone: how open it is, and how much of the epiphysis has ossified."""
    appears, closes = EPIPHYSIS[kind][sex], CLOSES[kind][sex] * rng.normal(1, 0.015)
    ossified = float(np.clip((age - appears) / 5 + 0.25, 0, 1)) if age > appears else 0.0
    openness = float(np.clip((closes - age) / 1.6 + 0.15, 0, 0.93))
    if openness <= 0 and ossified >= 1:
        return
    length = float(np.hypot(*(bone.end - bone.start)))
    depth = {"radius": 7.0, "ulna": 6.0, "mc": 7.5}.get(kind, 4.2) / max(length, 1e-3)
    distal = kind in ("radius", "ulna") or (kind == "mc" and not bone.name.endswith("_1"))
    bone.plates.append((1 - depth if distal else depth, openness, 0.15 + 0.85 * ossified))
