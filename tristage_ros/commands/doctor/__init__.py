"""Check a machine and a robot before the first motion."""
