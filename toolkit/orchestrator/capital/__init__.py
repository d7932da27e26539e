"""Who holds what, what is promised, and whose gain a fill was; pure."""
