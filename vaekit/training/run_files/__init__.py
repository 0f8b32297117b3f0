"""The files of a run: its folder, checkpoints to resume from, and pictures."""
