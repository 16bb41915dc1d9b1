"""HTTP routes and the page; they change the state of a run by commands only."""
