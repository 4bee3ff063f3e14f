"""What hidden states of training runs show: clusters, neighbours, and what to read them against (sections 3.2, 3.3)."""
