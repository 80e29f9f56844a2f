"""Demonstrations as a policy learns from them: frames of episodes, whatever file they lie in."""
