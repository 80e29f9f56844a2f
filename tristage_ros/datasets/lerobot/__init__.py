"""LeRobotDataset on disk: v3.0 is written and read, v2.1 is read."""
