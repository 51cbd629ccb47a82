"""The synthetic cohort: films as projections of a parametric skeleton, patients as a latent severity, readers as noise."""
