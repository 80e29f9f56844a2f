"""The arm node, and who may command it."""
