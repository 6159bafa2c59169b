"""What decides: content-addressed bundles of Rego, the lint that keeps them safe, and the engine that answers."""
