"""The arm's black box told: the last second before a fault, and what led to it."""
