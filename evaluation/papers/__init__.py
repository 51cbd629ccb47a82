"""The systems of the papers: their published figures next to the figures of our runs."""
