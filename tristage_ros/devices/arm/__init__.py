"""The Piper: kinematics, chunks and paths, the set-point stream, the safety guard, the driver."""
