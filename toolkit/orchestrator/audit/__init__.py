"""The journal read again: why, what if, replay, recovery."""
