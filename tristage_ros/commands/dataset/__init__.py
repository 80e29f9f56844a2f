"""The command `tristage dataset`: what a policy would learn from recorded episodes."""
