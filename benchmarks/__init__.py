"""What the project promises about speed and memory, measured as ratios within one run. `python -m benchmarks`."""
