"""Where films come from: the synthetic cohort, and the preparers of every layout the project reads."""
