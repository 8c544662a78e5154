"""Functions and counters without weights."""
