"""Reports that take their time."""
