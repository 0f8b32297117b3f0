"""Fuzzing: valid files, changed on purpose, must load or be refused in the project's own words.

damage.py      changes to any bytes, and to any JSON
made_*.py      changes that know a format: one module for each
kinds.py       which files are made, and through which doors they go in
doors.py       the doors: what the commands call to read a file
kept_doors.py  doors to what vaekit keeps itself: a run's folder, the cache
long_run.py    all kinds at length, measured: files, seconds and memory of each
worker.py      a process of its own that goes through them, and measures
holds.py       what a file truly holds
judge.py       what is asserted of every file
"""
