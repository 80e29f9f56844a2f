"""From what cameras and arm say to what a policy sees: live in the nodes, and of recordings, by the same code."""
