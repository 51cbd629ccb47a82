"""Evaluation statistics: how good predictions are and how far raters agree, as numbers (no plotting, no HTML)."""
