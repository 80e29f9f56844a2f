"""What every node shares: runner, parameters, quality of service, conversion, diagnostics; imports rclpy."""
