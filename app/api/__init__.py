"""HTTP: parse and authorise, nothing else."""
