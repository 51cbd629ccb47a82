"""Stage 1: a film in, one box per joint out. The only folder that imports ultralytics (AGPL-3.0).

Read before ultralytics is: it shall call nobody, and keep its settings in our folder, not the user's.
"""

import os

from ra import paths

os.environ.setdefault("YOLO_OFFLINE", "True")
os.environ.setdefault("YOLO_VERBOSE", "False")
os.environ.setdefault("YOLO_CONFIG_DIR", str(paths.data_root() / "work" / ".ultralytics"))
