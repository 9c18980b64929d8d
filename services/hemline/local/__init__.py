"""The whole cluster on one machine: its processes, their ports, and what keeps them alive."""
