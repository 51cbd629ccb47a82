"""Joint types, and pixel masks made from joint centres (Maziarz, Krason, Wojna 2021, section 3).

The paper has the hand's 21 joint types; here there are 22, because each neighbour of the scaphoid has its own joint with it
(anatomy.HAND_JOINTS). Toes are mapped onto fingers, so that hands and feet share the types. Coordinates are pixels of the
whole picture, (0, 0) the centre of its first pixel; a field may be coarser by a whole `stride`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ra.anatomy import ALL_JOINTS, HAND_JOINTS, JOINTS

N_TYPES = len(HAND_JOINTS)
BACKGROUND = N_TYPES  # the class after the joints
IGNORED = -100  # torch's default label of a pixel that the loss ignores
INNER, OUTER = 32 / 864, 40 / 864  # r and R of the paper as shares of the picture's width


def type_of(joint: str) -> int:
    """The joint type 0..21 of a hand's or foot's joint: mtp_k has the type of mcp_k, the hallux's IP that of the thumb's."""
    row, number = joint.split("_", 1)
    return HAND_JOINTS.index({"mtp": f"mcp_{number}", "hallux": "thumb_ip"}.get(row, joint))


TYPE = {joint: type_of(joint) for joint in ALL_JOINTS}


def possible_classes(limb: str) -> Tensor:
    """(23,) bool: the classes that a limb's film can show, background among them."""
    possible = torch.zeros(N_TYPES + 1, dtype=torch.bool)
    possible[[*(TYPE[joint] for joint in JOINTS[limb]), BACKGROUND]] = True
    return possible


def grid(height: int, width: int, stride: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """x (1, w) and y (h, 1) of a field's pixel centres, in pixels of the whole picture."""
    x = (torch.arange(width, device=device) + 0.5) * stride - 0.5
    y = (torch.arange(height, device=device) + 0.5) * stride - 0.5
    return x[None, :], y[:, None]


def joint_masks(centres: Tensor, shape: tuple[int, int], stride: int, inner_px: float, outer_px: float) -> Tensor:
    """(N, h, w) classes of pixels: the nearest joint within inner_px, BACKGROUND beyond outer_px, IGNORED between.

    centres: (N, 22, 2) x and y, NaN for a joint that is absent; shape: (h, w) of the field. Among equally near joints the
    first wins.
    """
    x, y = grid(*shape, stride, centres.device)
    nearest = torch.full((len(centres), *shape), torch.inf, device=centres.device)
    joint = torch.zeros_like(nearest, dtype=torch.long)
    for k in range(centres.shape[1]):  # one joint at a time: a full-size film has 800,000 pixels
        cx, cy = centres[:, k, 0, None, None], centres[:, k, 1, None, None]
        square = ((x - cx) ** 2 + (y - cy) ** 2).nan_to_num(torch.inf)
        joint = torch.where(square < nearest, k, joint)
        nearest = torch.minimum(nearest, square)
    between = torch.where(nearest > outer_px**2, BACKGROUND, IGNORED)
    return torch.where(nearest <= inner_px**2, joint, between)
