"""Episodes in the simulated cell, many of them: `tristage evaluate` and the paper's tables."""
