"""HTTP: one file per resource, one for who may do what, one for how errors look, and the hub behind the event stream."""
