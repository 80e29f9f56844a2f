"""The arm, its guard and its path."""
