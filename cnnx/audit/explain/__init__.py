"""Why: one element of an output, term by term."""
