"""Pictures of a catalogue that names addresses: fetched politely, checked, each kept once."""
