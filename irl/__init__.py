"""Learning rewards from demonstrations: features, soft values, likelihood, training, evaluation."""
