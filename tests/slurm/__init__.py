"""Do tasks run under a real SLURM?"""
