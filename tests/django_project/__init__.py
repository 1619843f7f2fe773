"""A small Django project, for the tests: in this process, and under real servers.

What differs from test to test comes from the environment.
"""
