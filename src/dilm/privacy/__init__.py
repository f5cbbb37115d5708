"""Personal data: detectors that find it, and stand-ins that take its place. Differential privacy it is not."""
