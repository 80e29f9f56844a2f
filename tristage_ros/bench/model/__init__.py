"""Benchmarks of control steps: `tristage bench`. Needs torch and numpy alone, so that it runs on any CUDA machine."""
