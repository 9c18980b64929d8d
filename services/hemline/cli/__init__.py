"""The `hemline` command: one verb a job."""
