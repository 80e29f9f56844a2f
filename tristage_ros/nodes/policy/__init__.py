"""The policy node: when a step begins, what it is made of, what it says."""
