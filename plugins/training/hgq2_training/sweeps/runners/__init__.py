"""Where the trials of a sweep run: processes of this machine, jobs of a cluster, or tasks of Ray."""
