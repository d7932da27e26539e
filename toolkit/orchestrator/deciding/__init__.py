"""From wishes to verdicts: gates, sizes, conflicts, netting; pure."""
