"""What the notebooks are written with: data, training, hidden states, clusters, neighbours."""
