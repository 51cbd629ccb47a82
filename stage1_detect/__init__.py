"""Stage 1: from a film to one box per joint. The only package that imports ultralytics (AGPL-3.0).

This module must be loaded before ultralytics: it switches off ultralytics' network calls and keeps its settings under data/work.
"""

import os

from ra import paths

os.environ.setdefault("YOLO_OFFLINE", "True")
os.environ.setdefault("YOLO_VERBOSE", "False")
os.environ.setdefault("YOLO_CONFIG_DIR", str(paths.data_root() / "work" / ".ultralytics"))
