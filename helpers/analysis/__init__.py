"""Analysis of hidden states of training runs: clusters, neighbours and controls (sections 3.2, 3.3)."""
