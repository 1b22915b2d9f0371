"""One module for each family of scan files; each turns the bytes of a file into a `Scan`."""
