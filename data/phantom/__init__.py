"""The synthetic cohort: films are projections of a parametric skeleton, patients have a latent severity, readers add noise."""
