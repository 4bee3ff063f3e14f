"""Many runs and notebooks in order: sweeps, their workers, make reproduce, make verdict."""
