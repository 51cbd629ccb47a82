"""What people call the joints that Ratingen scores: "MCP 2", mcp_2, PIP-III, IP of the thumb, wrist, MTP1."""

from __future__ import annotations

import difflib
import re

from ra.anatomy import LIMBS, RATINGEN_JOINTS, WRIST

NUMERALS = {"1": "i", "2": "ii", "3": "iii", "4": "iv", "5": "v"}
ALSO = {
    "hand": {"thumb_ip": ("ip", "ip1", "ipi", "pip1", "pipi", "ipthumb"), WRIST: ("carpus", "wristjoint")},
    "foot": {"hallux_ip": ("ip", "ip1", "ipi", "pip1", "pipi", "iphallux", "bigtoeip")},
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(limb: str) -> dict[str, str]:
    """Plain name -> joint."""
    found = {}
    for joint in RATINGEN_JOINTS[limb]:
        plain = _plain(joint)
        found |= dict.fromkeys((plain, plain[:-1] + NUMERALS.get(plain[-1], plain[-1]), *ALSO[limb].get(joint, ())), joint)
    return found


NAMES = {limb: _names(limb) for limb in LIMBS}


def find(name: str, limbs: tuple[str, ...] = LIMBS) -> tuple[str, str]:
    """(limb, joint) that a name means, among some limbs. ValueError says in words why there is not one."""
    plain = _plain(name)
    found = [(limb, NAMES[limb][plain]) for limb in limbs if plain in NAMES[limb]]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(f"{joint} of the {limb}" for limb, joint in found)
        raise ValueError(f"may be {both}; write that name, or give the part")
    near = [NAMES[limb][n] for limb in limbs for n in difflib.get_close_matches(plain, NAMES[limb], n=1)]
    known = ", ".join(joint for limb in limbs for joint in RATINGEN_JOINTS[limb])
    raise ValueError(f"is not known; did you mean {near[0]}?" if near else f"is not one of {known}; correct it")
