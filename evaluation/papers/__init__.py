"""The systems of the papers: their published figures beside those of our runs."""
