"""Stage 3: out-of-fold tables of all members -> site scores, totals, submission. Never imports torch."""
