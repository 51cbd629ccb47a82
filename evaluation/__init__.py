"""What may be said of a reading and its error: statistics of raters, as numbers; no drawing and no HTML here."""
