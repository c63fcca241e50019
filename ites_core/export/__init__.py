"""What leaves the package for other programs: networks and poses in formats that others read."""
