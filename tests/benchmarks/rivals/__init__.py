"""What vaekit is timed against; each runs alone in a process and ends with a JSON object."""
