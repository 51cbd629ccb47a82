"""Groups of the 86 sites over which grades are counted: joint types, findings of a limb, all sites; each a mask (86,)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ra.anatomy import FINDINGS, LIMBS, SITES, Site, limb

# first word of a joint's name -> type of joint; the thumb's IP is counted with the PIPs
TYPES = {"thumb": "PIP", "pip": "PIP", "mcp": "MCP", "wrist": "wrist", "hallux": "hallux IP", "mtp": "MTP"}
EVERYTHING = "all sites"


def _masks(name_of: Callable[[Site], str], names: list[str]) -> dict[str, np.ndarray]:
    """name -> mask of the sites that have that name."""
    names_of_sites = np.array([name_of(site) for site in SITES])
    return {name: names_of_sites == name for name in names}


def joint_type(site: Site) -> str:
    """The name of a site's joint type and finding, such as MCP narrowing or hallux IP erosion."""
    return f"{TYPES[site.joint.split('_')[0]]} {site.finding}"


def limb_finding(site: Site) -> str:
    """The name of a site's limb and finding: hand erosion, hand narrowing, foot erosion or foot narrowing."""
    return f"{limb(site.part)} {site.finding}"


JOINT_TYPES = _masks(joint_type, [f"{kind} {finding}" for finding in FINDINGS for kind in dict.fromkeys(TYPES.values())])
LIMB_FINDINGS = _masks(limb_finding, [f"{where} {finding}" for where in LIMBS for finding in FINDINGS])
ALL = {EVERYTHING: np.ones(len(SITES), bool)}
GROUPS = ALL | LIMB_FINDINGS | JOINT_TYPES


def without_side(site: Site) -> tuple[str, str, str]:
    """(limb, joint, finding), of which there are 43, each shared by a left and a right site."""
    return limb(site.part), site.joint, site.finding


BOTH_SIDES = {key: np.array([without_side(site) == key for site in SITES]) for key in dict.fromkeys(map(without_side, SITES))}
