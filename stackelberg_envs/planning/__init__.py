"""Dynamic programming on processes: policy iteration, value iteration, linear systems, equilibria, linear programmes."""
