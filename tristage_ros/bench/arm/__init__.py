"""The arm's driver and guard against an emulated arm: faults, streaming, endurance."""
