"""Stage 2: predict distributions over grades, or totals, from crops or whole films. Imports only ra and its own modules."""
