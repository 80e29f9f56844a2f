"""The recorder node, and what the nodes were told."""
