"""The machine: its devices, its threads, and the processes of a run."""
