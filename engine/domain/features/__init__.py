"""Features: scale-free numbers per instrument, from a catalogue, by family loops."""
