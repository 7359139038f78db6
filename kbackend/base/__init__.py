"""The ground floor: dtypes, shapes, trees, names, configuration. It knows no tensor and no engine."""
