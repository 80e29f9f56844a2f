"""The arm node."""
