"""Training of the mini model on demonstrations of the simulated cell."""
