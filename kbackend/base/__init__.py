"""The ground floor: dtypes, shapes, trees, names, configuration. No tensor and no engine here."""
