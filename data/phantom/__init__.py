"""The synthetic cohort: films are projections of a parametric skeleton, patients a latent severity, readers noise."""
