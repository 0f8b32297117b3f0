"""The named data sets: where each comes from, and how its files are read."""
