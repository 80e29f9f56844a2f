"""The node that asks a policy server in the place of the policy node: when, and what becomes of its answers."""
