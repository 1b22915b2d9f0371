"""Is the dataset the same from every kind of cluster, whatever happens to nodes and jobs?"""
