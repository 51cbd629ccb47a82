"""The report of a run: what evaluation computed, as one HTML page of sentences, tables and figures."""
