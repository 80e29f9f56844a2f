"""Two ways to run compared in pairs of trials: what was planned, how each ended, and the verdict."""
