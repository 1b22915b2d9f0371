"""The two networks: AlphaDiffract (pattern to lattice and symmetry) and CrystalNet (pattern to electron density)."""
