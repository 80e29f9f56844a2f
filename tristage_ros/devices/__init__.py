"""The arm: kinematics, the safety guard, the set-point stream and the Piper driver. No ROS."""
