"""Other names of the joints: the region names of RAM-H1200 (arXiv 2605.05616)."""

from __future__ import annotations

from ra.anatomy import ALL_JOINTS

FINGERS = {finger: number for number, finger in enumerate("TIMRS", 1)}  # thumb, index, middle, ring, small

# The three narrowings of the middle carpus are interpreted from the region names: scapho-trapezio-trapezoid, scapho-capitate,
# scapho-radial.
EROSION = {
    "IP": "thumb_ip",
    **{f"MCP-{finger}": f"mcp_{number}" for finger, number in FINGERS.items()},
    **{f"PIP-{finger}": f"pip_{number}" for finger, number in FINGERS.items() if number > 1},
    "CMC-T": "wrist_mc1", "Tm": "wrist_mul", "S": "wrist_nav", "L": "wrist_lunate", "R": "wrist_radius", "U": "wrist_ulna",
}  # fmt: skip
NARROWING = {
    **{region: joint for region, joint in EROSION.items() if region[:3] in ("MCP", "PIP")},
    "CMC-M": "wrist_cmc3", "CMC-R": "wrist_cmc4", "CMC-S": "wrist_cmc5",
    "STT": "wrist_mna", "SC": "wrist_capnlun", "SR": "wrist_radcar",
}  # fmt: skip
REGIONS = {"BE": EROSION, "JSN": NARROWING}  # by the prefix of a score's name: BE_MCP-T, JSN_STT
NAMES = {region.lower(): joint for names in REGIONS.values() for region, joint in names.items()}


def joint_of(name: str) -> str | None:
    """The joint that a name means: its own name, or a region with or without prefix (mcp_1, MCP-T, BE_MCP-T); else None."""
    if name in ALL_JOINTS:
        return name
    bare = name.strip().lower()
    for prefix in REGIONS:
        bare = bare.removeprefix(f"{prefix.lower()}_").removeprefix(f"{prefix.lower()}-")
    return NAMES.get(bare.replace("_", "-"))
