"""What scores say about a model: intervals, comparisons of models, and slices."""
