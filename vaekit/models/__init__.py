"""The networks: encoders and decoders, without losses or files."""
