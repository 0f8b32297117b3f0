"""How good samples are: features of drawn and real images, and their distances."""
