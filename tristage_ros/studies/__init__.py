"""Episodes in the simulated cell, many of them: the tables and figures of the paper, and calibration."""
