"""The benchmark: servers of many kinds, the same jobs, one table."""
