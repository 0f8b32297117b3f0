"""Measurements of speed: `python -m tests.benchmarks NAME`, explained in docs/benchmarks.md."""
