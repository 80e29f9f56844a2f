"""What is measured: a control step (model/), the arm, cameras, latency, recording, stopping, two machines."""
