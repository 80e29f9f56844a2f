"""Two runs on the same observations: how far they are apart."""
