"""Programs of other packages beside the graph: viewers, and the model of the arm."""
