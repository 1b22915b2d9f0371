"""GSAS-II as a simulation engine, run in a child process."""
