"""Inputs that nobody would write, for everything that reads what is not ours: `tristage bench fuzz`."""
