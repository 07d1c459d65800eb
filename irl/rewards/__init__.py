"""Rewards beyond the linear one: a sum of parts (linear, corrections of edges and turns, an MLP) through a softplus."""
