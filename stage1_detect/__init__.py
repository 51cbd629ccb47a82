"""Stage 1: a film in, one box per joint out. The only folder that imports ultralytics (AGPL-3.0)."""
