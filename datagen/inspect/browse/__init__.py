"""A page to look at a dataset in a browser, and a server for it on this machine."""
