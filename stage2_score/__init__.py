"""Stage 2: crops or whole films in, a distribution over grades (or a part's totals) out. Imports only ra and itself."""
