"""Look at a machine and a robot before the first motion: what is right, what is not, what to do about it."""
