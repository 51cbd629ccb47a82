"""Reads damaged copies of one film, in a process that a decoder may crash: python fuzz_child.py FILE FIRST_SEED LAST_SEED.

Prints the seed before each copy and, after the last copy, how many were refused or read. A copy that takes too long ends the
process; a request for memory beyond the limit fails.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from ra.imaging import film

SECONDS, MEMORY = 5, 1 << 30


def damaged(data: bytes, seed: int) -> bytes:
    """The file with some bytes changed, deleted, inserted or repeated, or cut off; half of the time only in the header."""
    rng = np.random.default_rng(seed)
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        end = max(1, min(len(out), 500) if rng.random() < 0.5 else len(out))
        at = int(rng.integers(0, end))
        length = int(rng.integers(1, 40))
        match rng.integers(0, 8):
            case 0 | 1 | 2:
                out[at] = rng.integers(0, 256)
            case 3:
                out[at] ^= 1 << rng.integers(0, 8)
            case 4:
                out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
            case 5:
                del out[at : at + length]
            case 6:
                out[at:at] = out[at : at + length]
            case 7:
                out = out[:at] if rng.random() < 0.3 else out[:at] + rng.bytes(length) + out[at:]
    return bytes(out)


def main() -> None:
    path, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data, whole = path.read_bytes(), film.read(path)
    copy, ends = path.with_name("damaged" + path.suffix), Counter()
    memory_before = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (memory_before + MEMORY,) * 2)
    for seed in range(first, last):
        print(seed, flush=True)
        copy.write_bytes(damaged(data, seed))
        signal.alarm(SECONDS)  # without a handler, the signal ends even a decoder that hangs
        try:
            grey = film.read(copy)
        except film.FilmError as error:
            text = str(error)
            assert str(copy) in text and "\n" not in text and len(text) < 400, text
            assert "memory" not in text, text
            ends["refused"] += 1
        else:
            assert grey.ndim == 2 and grey.dtype == np.uint8 and grey.flags.c_contiguous and min(grey.shape) >= 16
            ends["same" if np.array_equal(grey, whole) else "other"] += 1
    signal.alarm(0)
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
