"""What a person types: demo, monitor, record, replay, calibrate-cameras, doctor."""
