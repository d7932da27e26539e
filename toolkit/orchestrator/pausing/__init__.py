"""Whose signal our own trades still disturb, and for how long; pure."""
