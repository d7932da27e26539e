"""From verdicts to plans, and to the chain."""
