"""The report: one self-contained HTML file of what the evidence says, with the same numbers as CSV and JSON beside it."""
