"""The command `tristage trial`: two ways to run, compared in pairs whose order nobody knows."""
