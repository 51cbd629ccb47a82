"""Common names of the joints of the Ratingen score: "MCP 2", mcp_2, PIP-III, IP of the thumb, wrist, MTP1."""

from __future__ import annotations

import difflib
import re

from ra.anatomy import LIMBS, RATINGEN_JOINTS, WRIST

NUMERALS = {"1": "i", "2": "ii", "3": "iii", "4": "iv", "5": "v"}
SYNONYMS = {
    "hand": {"thumb_ip": ("ip", "ip1", "ipi", "pip1", "pipi", "ipthumb"), WRIST: ("carpus", "wristjoint")},
    "foot": {"hallux_ip": ("ip", "ip1", "ipi", "pip1", "pipi", "iphallux", "bigtoeip")},
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(limb: str) -> dict[str, str]:
    """Plain name -> joint."""
    names = {}
    for joint in RATINGEN_JOINTS[limb]:
        plain = _plain(joint)
        with_numeral = plain[:-1] + NUMERALS.get(plain[-1], plain[-1])
        names |= dict.fromkeys((plain, with_numeral, *SYNONYMS[limb].get(joint, ())), joint)
    return names


NAMES = {limb: _names(limb) for limb in LIMBS}


def find(name: str, limbs: tuple[str, ...] = LIMBS) -> tuple[str, str]:
    """(limb, joint) that a name means, among some limbs. ValueError, with the reason, if there is none or more than one."""
    plain = _plain(name)
    matches = [(limb, NAMES[limb][plain]) for limb in limbs if plain in NAMES[limb]]
    if len(matches) == 1:
        return matches[0]
    if matches:
        both = " and ".join(f"{joint} of the {limb}" for limb, joint in matches)
        raise ValueError(f"may be {both}; write that name, or give the part")
    near = [NAMES[limb][n] for limb in limbs for n in difflib.get_close_matches(plain, NAMES[limb], n=1)]
    if near:
        raise ValueError(f"is not known; did you mean {near[0]}?")
    known = ", ".join(joint for limb in limbs for joint in RATINGEN_JOINTS[limb])
    raise ValueError(f"is not one of {known}; correct it")
