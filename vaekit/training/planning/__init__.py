"""What a run would take, before it trains: `train --dry-run` and `--probe`."""
