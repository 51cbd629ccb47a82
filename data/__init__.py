"""Sources of films: the synthetic cohort, and the preparation of every layout that the project reads."""
