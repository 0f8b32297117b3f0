"""What Python callers get: a model with every command, runs, and progress in a notebook."""
