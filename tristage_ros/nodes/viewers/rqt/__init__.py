"""Run rqt in a process of ours. In a folder of its own: Python looks for modules in the folder of a script first."""
