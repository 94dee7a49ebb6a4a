"""Live nodes: their configuration, a replay that needs no network, and the run itself."""
