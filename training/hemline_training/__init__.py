"""Training, evaluation and release building; the serving packages never import this one."""
