"""A policy of somebody else behind this arm: OpenPI's protocol, and what its numbers mean here, by a file."""
