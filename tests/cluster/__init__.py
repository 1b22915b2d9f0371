"""Do the tests of the cluster room."""
