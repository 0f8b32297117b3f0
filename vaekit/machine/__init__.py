"""The machine that vaekit runs on: its devices, its threads, and the processes of one run."""
